"""Image models at int8: exported once, near their fp32 vectors, and the same in any company."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lakehouse.errors import UserError
from lakehouse.models.embedders import onnx
from lakehouse.models.embedders.pooling import unit_rows
from lakehouse.models.embedders.registry import describe, load, load_joint
from lakehouse.settings import TransformersEmbedder
from tests.models.scenes import jpegs
from tests.models.tiny_networks import JOINT, MAKERS

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

Folder = Callable[[str], Path]
OF_ONE_SIZE = sorted(MAKERS.keys() - {"siglip2_naflex"})


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One for all tests, so that each model is exported once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def settings(model: Path, precision: str = "int8", **changes: Any) -> TransformersEmbedder:
    return TransformersEmbedder.model_validate(
        {"backend": "transformers", "model": str(model), "device": "cpu", "precision": precision}
        | changes
    )


def embedded(model: TransformersEmbedder, items: list[bytes]) -> NDArray[np.float32]:
    loaded = load(model, threads=2)
    return unit_rows(loaded.collect(loaded.launch(loaded.prepare(items))))


@pytest.mark.parametrize("name", OF_ONE_SIZE)
def test_vectors_are_near_those_of_fp32(model_folder: Folder, name: str) -> None:
    """Within 0.005: twice what these models lose, which have dozens of values in a row where real
    ones have hundreds, over which rounding evens out. Different pictures are 0.05 apart or more."""
    folder = model_folder(name)
    narrow, wide = embedded(settings(folder), jpegs()), embedded(settings(folder, "fp32"), jpegs())
    assert np.max(1 - np.sum(narrow * wide, axis=1)) < 0.005
    assert not np.array_equal(narrow, wide)


@pytest.mark.parametrize("name", OF_ONE_SIZE)
def test_a_picture_has_exactly_the_same_vector_in_any_company(
    model_folder: Folder, name: str
) -> None:
    model = settings(model_folder(name))
    alone = np.concatenate([embedded(model, [jpeg]) for jpeg in jpegs()])
    np.testing.assert_array_equal(embedded(model, jpegs()), alone)


@pytest.mark.parametrize("name", sorted(JOINT.keys() - {"siglip2_naflex"}))
def test_texts_have_the_vectors_of_fp32(model_folder: Folder, name: str) -> None:
    narrow = load_joint(settings(model_folder(name)), threads=2)
    wide = load_joint(settings(model_folder(name), "fp32"), threads=2)
    assert narrow is not None
    assert wide is not None
    texts = ["a red valve", "water on the floor"]
    np.testing.assert_allclose(narrow.embed_texts(texts), wide.embed_texts(texts), atol=1e-5)


def test_a_model_is_exported_once(model_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = settings(model_folder("dinov2"))
    first = embedded(model, jpegs())

    def write(*_: Any) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(onnx, "_write", write)
    again = onnx.Int8Images(model, threads=1)
    rows = again.collect(again.launch(again.prepare(jpegs())))
    np.testing.assert_allclose(unit_rows(rows), first, atol=1e-6)


def test_of_several_that_want_a_model_at_once_one_exports_it(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write, written = onnx._write, []

    def counted(*of: Any) -> None:
        written.append(of)
        write(*of)

    monkeypatch.setattr(onnx, "_write", counted)
    model = settings(model_folder("siglip"))
    with ThreadPoolExecutor(3) as pool:
        loaded = list(pool.map(lambda _: onnx.Int8Images(model, threads=1), range(3)))
    assert len(loaded) == 3
    assert len(written) == 1


def test_an_export_that_was_broken_off_leaves_nothing_behind(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = settings(model_folder("siglip"))
    with monkeypatch.context() as patch:
        patch.setattr("onnxruntime.quantization.quantize_dynamic", _broken_off)
        with pytest.raises(KeyboardInterrupt):
            onnx.Int8Images(model, threads=1)
    left = [file.name for file in onnx.cache_folder().iterdir()]
    assert all(name.endswith(".lock") for name in left)
    onnx.Int8Images(model, threads=1)


def test_what_a_killed_export_left_goes_with_the_next(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = settings(model_folder("siglip"))
    stem = f"{describe(model).version}-{onnx._CODE}"
    left = onnx.cache_folder() / f"{stem}.abc.unfinished"
    left.mkdir(parents=True)
    (left / "fp32.onnx").write_bytes(b"half of it")
    onnx.Int8Images(model, threads=1)
    assert not left.exists()
    assert (onnx.cache_folder() / f"{stem}.onnx").is_file()


def test_a_spoilt_file_in_the_cache_is_named(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = settings(model_folder("siglip"))
    onnx.Int8Images(model, threads=1)
    (file,) = onnx.cache_folder().glob("*.onnx")
    file.write_bytes(b"spoilt")
    with pytest.raises(UserError, match="remove it, and it is written again"):
        onnx.Int8Images(model, threads=1)


def test_a_cache_that_cannot_be_written_is_told(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kennel").write_bytes(b"a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="set XDG_CACHE_HOME to another folder"):
        onnx.Int8Images(settings(model_folder("siglip")), threads=1)


def test_pictures_of_any_shape_are_refused(model_folder: Folder) -> None:
    with pytest.raises(UserError, match="any shape, which int8 can't"):
        load(settings(model_folder("siglip2_naflex")), threads=2)


def test_a_gpu_is_refused(model_folder: Folder) -> None:
    with pytest.raises(UserError, match="set device to cpu"):
        load(settings(model_folder("siglip"), device="cuda"), threads=2)


def _broken_off(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
