"""The aesthetic scorer: what a person would compute by hand, and heads that don't fit refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lakehouse.errors import UserError
from lakehouse.models.clip_view import ClipView
from lakehouse.models.embedders.pooling import unit_rows
from lakehouse.models.embedders.registry import load as load_embedder
from lakehouse.models.scorers.registry import describe, load
from lakehouse.settings import AestheticScorer, TransformersEmbedder
from tests.clip_views import clip
from tests.models.scenes import jpegs

Folder = Callable[[str], Path]
WEIGHT = np.random.default_rng(0).normal(size=40).astype(np.float32)
BIAS = np.array([4.5], np.float32)


def npz(at: Path, weight: Any = WEIGHT[None], bias: Any = BIAS) -> Path:
    file = at / "head.npz"
    np.savez(file, weight=weight, bias=bias)
    return file


def settings(model: Path, head: Path, **changes: Any) -> AestheticScorer:
    return AestheticScorer.model_validate(
        {"backend": "aesthetic", "model": str(model), "head": str(head), "device": "cpu"} | changes
    )


def clips() -> list[ClipView]:
    return [clip("a", tuple(jpegs()[:3])), clip("b", tuple(jpegs()[3:4])), clip("c", jpegs()[4:])]


def scores(scorer: AestheticScorer, of: list[ClipView]) -> dict[str, float | None]:
    return {clip_id: score.values["score"] for clip_id, score in load(scorer, 2).score(of)}


def by_hand(model: Path) -> dict[str, float]:
    embedder = load_embedder(
        TransformersEmbedder(backend="transformers", model=str(model), device="cpu"), 2
    )
    found = {}
    for view in clips():
        frames = [frame.jpeg for frame in view.frames]
        rows = unit_rows(embedder.collect(embedder.launch(embedder.prepare(frames))))
        found[view.clip_id] = float(np.mean([np.dot(row, WEIGHT) + BIAS[0] for row in rows]))
    return found


def test_a_clip_scores_the_mean_of_what_its_frames_score(
    model_folder: Folder, tmp_path: Path
) -> None:
    model = model_folder("clip")
    found = scores(settings(model, npz(tmp_path), batch_size=2), clips())
    assert found == pytest.approx(by_hand(model), abs=1e-5)
    assert len(set(found.values())) == 3


def test_a_head_counts_the_same_in_every_format(model_folder: Folder, tmp_path: Path) -> None:
    weights = {"linear.weight": torch.tensor(WEIGHT[None]), "linear.bias": torch.tensor(BIAS)}
    save_file(weights, tmp_path / "head.safetensors")
    torch.save(weights, tmp_path / "head.pt")
    torch.save(weights, tmp_path / "head.pth")
    np.savez(tmp_path / "flat.npz", weight=WEIGHT, bias=BIAS[0])
    model, wanted = model_folder("clip"), by_hand(model_folder("clip"))
    for name in ("head.safetensors", "head.pt", "head.pth", "flat.npz"):
        found = scores(settings(model, tmp_path / name), clips())
        assert found == pytest.approx(wanted, abs=1e-5), name


def test_a_clip_without_frames_is_an_error_of_its_own(model_folder: Folder, tmp_path: Path) -> None:
    scorer = load(settings(model_folder("clip"), npz(tmp_path)), 2)
    found = dict(scorer.score([clip("x", ()), *clips(), clip("y", ())]))
    assert found.keys() == {"a", "b", "c", "x", "y"}
    assert found["x"].error == found["y"].error == "the clip has no frames"
    assert found["a"].error is None


def test_clips_are_taken_a_bounded_number_ahead(model_folder: Folder, tmp_path: Path) -> None:
    taken: list[str] = []

    def many() -> Iterator[ClipView]:
        for number in range(200):
            taken.append(str(number))
            yield clip(str(number), tuple(jpegs()[:1]))

    scorer = load(settings(model_folder("clip"), npz(tmp_path), batch_size=2), 2)
    results = iter(scorer.score(many()))
    next(results)
    assert len(taken) < 40


def test_a_head_of_another_size_is_refused_with_both_sizes(
    model_folder: Folder, tmp_path: Path
) -> None:
    head = npz(tmp_path, weight=np.ones((1, 768)))
    with pytest.raises(UserError, match=r"has 768 weights.*have 40 dimensions"):
        load(settings(model_folder("clip"), head), 2)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weight": np.ones((1, 40))}, "holds weight; it must hold one weight and one bias"),
        ({"a.weight": WEIGHT, "b.weight": WEIGHT, "a.bias": BIAS}, "one weight and one bias"),
        ({"weight": np.ones((2, 40)), "bias": np.ones(2)}, "a weight of 2 x 40 and a bias of 2"),
    ],
)
def test_what_is_no_linear_head_is_refused(
    model_folder: Folder, tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    np.savez(tmp_path / "head.npz", **arrays)
    with pytest.raises(UserError, match=words):
        load(settings(model_folder("clip"), tmp_path / "head.npz"), 2)


@pytest.mark.parametrize("name", ["head.npz", "head.pt", "head.safetensors"])
def test_a_broken_head_is_told(model_folder: Folder, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(UserError, match="can't be read"):
        load(settings(model_folder("clip"), tmp_path / name), 2)


def test_a_head_that_is_code_is_refused(model_folder: Folder, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(40, 1), tmp_path / "head.pt")
    with pytest.raises(UserError, match="can't be read"):
        load(settings(model_folder("clip"), tmp_path / "head.pt"), 2)


def test_a_head_of_unknown_format_is_told(model_folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "head.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"take one of \.npz, \.pt, \.pth, \.safetensors"):
        load(settings(model_folder("clip"), tmp_path / "head.onnx"), 2)


def test_a_head_that_is_not_there_is_told(model_folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        describe(settings(model_folder("clip"), tmp_path / "head.npz"))


def test_the_version_follows_the_head_and_the_model_and_not_the_limits(
    model_folder: Folder, tmp_path: Path
) -> None:
    first = describe(settings(model_folder("clip"), npz(tmp_path)))
    assert first.reads_frames
    assert describe(settings(model_folder("clip"), npz(tmp_path), min_score=5)) == first
    assert describe(settings(model_folder("dinov2"), npz(tmp_path))).version != first.version
    other = npz(tmp_path, bias=np.zeros(1))
    assert describe(settings(model_folder("clip"), other)).version != first.version
