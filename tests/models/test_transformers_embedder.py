"""Image models through transformers: the vectors that their authors' own calls give, for pictures
and for texts, at every precision; and plain words for what can't be loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from lakehouse.engine.feeding import fed
from lakehouse.errors import UserError
from lakehouse.models.embedders.pooling import pooled, unit_rows
from lakehouse.models.embedders.registry import describe, load, load_joint
from lakehouse.settings import TransformersEmbedder
from tests.models.scenes import jpegs, pictures
from tests.models.tiny_networks import JOINT, MAKERS

Folder = Callable[[str], Path]
TEXTS = [
    "a robot dog in the boiler room",
    "Water on the floor, near PUMP 03!",
    "gate b " * 60,  # more than any of the models reads
    "x",
]


def settings(model: Path, **changes: Any) -> TransformersEmbedder:
    return TransformersEmbedder.model_validate(
        {"backend": "transformers", "model": str(model), "device": "cpu"} | changes
    )


def embedded(model: TransformersEmbedder, items: list[bytes]) -> NDArray[np.float32]:
    loaded = load(model, threads=2)
    return unit_rows(loaded.collect(loaded.launch(loaded.prepare(items))))


def reference(folder: Path) -> NDArray[np.float32]:
    """As the models' documentation has it."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)(
        images=pictures(), return_tensors="pt"
    )
    with torch.no_grad():
        is_joint = hasattr(model, "get_image_features")
        found = model.get_image_features(**inputs) if is_joint else model(**inputs)
    return unit_rows(found.pooler_output.numpy())


def reference_of_texts(folder: Path) -> NDArray[np.float32]:
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if model.config.model_type == "clip":
        tokens = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt", max_length=77)
    else:
        tokens = tokenizer(
            [text.lower() for text in TEXTS],
            padding="max_length",
            truncation=True,
            max_length=64,
            return_tensors="pt",
        )
        tokens = {"input_ids": tokens["input_ids"]}
    with torch.no_grad():
        return unit_rows(model.get_text_features(**tokens).pooler_output.numpy())


def distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """1 - cosine of the pair that differs most."""
    return float(np.max(1 - np.sum(one * other, axis=1)))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pictures_have_the_vectors_of_the_models_own_call(
    model_folder: Folder, name: str, precision: str
) -> None:
    folder = model_folder(name)
    wanted = reference(folder)
    apart = 1 - wanted @ wanted.T + np.eye(len(wanted))
    assert apart.min() > 0.02, "pictures must differ by more than what is allowed below"
    found = embedded(settings(folder, precision=precision), jpegs())
    assert distance(found, wanted) <= 1e-3


@pytest.mark.parametrize("name", MAKERS)
def test_vectors_have_the_length_that_was_described(model_folder: Folder, name: str) -> None:
    model = settings(model_folder(name))
    assert embedded(model, jpegs()[:1]).shape == (1, describe(model).dimensions)


@pytest.mark.parametrize("name", MAKERS)
def test_a_picture_has_the_same_vector_in_any_company(model_folder: Folder, name: str) -> None:
    model = settings(model_folder(name))
    together = embedded(model, jpegs())
    alone = np.concatenate([embedded(model, [jpeg]) for jpeg in jpegs()])
    reverse = embedded(model, jpegs()[::-1])[::-1]
    assert distance(alone, together) < 1e-5
    assert distance(reverse, together) < 1e-5


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_texts_have_the_vectors_of_the_models_own_call(
    model_folder: Folder, name: str, precision: str
) -> None:
    folder = model_folder(name)
    joint = load_joint(settings(folder, precision=precision), threads=2)
    assert joint is not None
    found = joint.embed_texts(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert distance(found, reference_of_texts(folder)) <= 1e-3


@pytest.mark.parametrize("name", JOINT)
def test_a_text_has_the_same_vector_in_any_company(model_folder: Folder, name: str) -> None:
    joint = load_joint(settings(model_folder(name), batch_size=3), threads=2)
    assert joint is not None
    alone = np.concatenate([joint.embed_texts([text]) for text in TEXTS])
    assert len(TEXTS) > 3, "more than a batch"
    np.testing.assert_allclose(joint.embed_texts(TEXTS), alone, atol=1e-5)


def test_siglip_reads_upper_case_as_lower_case(model_folder: Folder) -> None:
    joint = load_joint(settings(model_folder("siglip2")), threads=2)
    assert joint is not None
    upper, lower = joint.embed_texts(["KEEP CLEAR", "keep clear"])
    np.testing.assert_array_equal(upper, lower)


@pytest.mark.parametrize("name", sorted(MAKERS.keys() - JOINT.keys()))
def test_a_model_of_pictures_alone_reads_no_texts(model_folder: Folder, name: str) -> None:
    assert load_joint(settings(model_folder(name)), threads=2) is None


def test_clips_are_embedded_in_batches_that_cut_through_them(model_folder: Folder) -> None:
    model = settings(model_folder("siglip"), batch_size=3)
    clips = [("a", jpegs()[:4]), ("b", jpegs()[4:5]), ("c", jpegs()[5:])]
    found = dict(fed(load(model, 2), clips, 2))
    for name, frames in clips:
        np.testing.assert_allclose(
            pooled(found[name]), pooled(embedded(model, list(frames))), atol=1e-5
        )


def test_a_model_is_loaded_once_in_a_process(model_folder: Folder) -> None:
    model = settings(model_folder("clip"))
    assert load(model, 2) is load(model.model_copy(update={"keep_frame_vectors": True}), 2)
    assert load(model, 2) is load_joint(model, 2)


def test_a_network_on_the_cpu_keeps_to_its_threads_and_each_preparer_to_one(
    model_folder: Folder,
) -> None:
    loaded = load(settings(model_folder("dinov2")), threads=3)
    counted: dict[str, int] = {}

    class Counting:
        batch_size = 2
        collect = loaded.collect

        def prepare(self, items: Any) -> Any:
            found = loaded.prepare(items)
            counted["prepare"] = torch.get_num_threads()
            return found

        def launch(self, prepared: Any) -> Any:
            found = loaded.launch(prepared)
            counted["launch"] = torch.get_num_threads()
            return found

    list(fed(Counting(), [("a", jpegs())], 2))
    assert counted == {"prepare": 1, "launch": 3}


def broken_copy(model_folder: Folder, at: Path) -> Path:
    """A folder to break, apart from the one that other tests use."""
    for file in model_folder("clip").iterdir():
        (at / file.name).write_bytes(file.read_bytes())
    return at


def test_weights_that_were_cut_off_are_told(model_folder: Folder, tmp_path: Path) -> None:
    folder = broken_copy(model_folder, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"can't be loaded.*put the whole model there again"):
        load(settings(folder), threads=2)


def test_weights_that_are_missing_are_not_made_up(model_folder: Folder, tmp_path: Path) -> None:
    folder = broken_copy(model_folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights, visual_projection\.weight for one"):
        load(settings(folder), threads=2)


def test_weights_of_another_shape_are_told(model_folder: Folder, tmp_path: Path) -> None:
    folder = broken_copy(model_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = 44
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="can't be loaded"):
        load(settings(folder), threads=2)


def test_a_folder_without_weights_is_told(model_folder: Folder, tmp_path: Path) -> None:
    folder = broken_copy(model_folder, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="can't be loaded"):
        load(settings(folder), threads=2)


def test_a_folder_without_its_processor_is_told(model_folder: Folder, tmp_path: Path) -> None:
    folder = broken_copy(model_folder, tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="can't be loaded"):
        load(settings(folder), threads=2)


def test_code_that_comes_with_a_model_is_never_run(model_folder: Folder, tmp_path: Path) -> None:
    folder = broken_copy(model_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    load(settings(folder), threads=2)
    assert not (tmp_path / "ran").exists()
