"""The aesthetic scorer: an image embedding and a linear head over it, as LAION's predictors are.

How a picture is embedded belongs to `models.embedders`.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakehouse.engine.feeding import Group, fed
from lakehouse.errors import UserError
from lakehouse.models import weights
from lakehouse.models.clip_view import ClipView
from lakehouse.models.device import required
from lakehouse.models.embedders import image_models
from lakehouse.models.embedders.pooling import unit_rows
from lakehouse.models.embedders.registry import describe as describe_embedder
from lakehouse.models.embedders.registry import load as load_embedder
from lakehouse.models.scorers.protocol import Score, ScorerDescriptor
from lakehouse.settings import AestheticScorer, TransformersEmbedder
from lakehouse.tables.fingerprint import fingerprint

_CODE = 1  # raise it when scores change without a change of what `describe` hashes


def describe(settings: AestheticScorer) -> ScorerDescriptor:
    """The descriptor; loads no model. Its version changes with the model's and the head's weights.
    Raises UserError where either can't be read."""
    try:
        of_head = hashlib.sha256(settings.head.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(settings.head, error) from error
    digest = fingerprint(image_models.version(_embedder(settings)), of_head)
    return ScorerDescriptor(
        model=f"{weights.shown_name(settings.model)} with {settings.head.name}",
        version=f"aesthetic-{_CODE}-{digest[:12]}",
        reads_frames=True,
    )


@dataclass(frozen=True)
class Head:
    """A score is `weight` times a unit vector, plus `bias`."""

    weight: NDArray[np.float32]
    bias: float


class Aesthetic:
    """A `Scorer`: a clip's score is the mean of its frames'. Raises UserError, when made, for a
    model or a head that can't be loaded, and for a head of another size than the model's vectors.
    """

    def __init__(self, settings: AestheticScorer, threads: int) -> None:
        self._head = load_head(settings.head)
        embedder = _embedder(settings)
        self._model = load_embedder(embedder, threads)  # first, so that its configuration is here
        dimensions = describe_embedder(embedder).dimensions
        if len(self._head.weight) != dimensions:
            raise UserError(
                f"head {settings.head} has {len(self._head.weight)} weights, vectors of model "
                f"{settings.model} have {dimensions} dimensions; take the head made for the model"
            )
        self._threads = threads

    def score(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Score]]:
        """See `Scorer.score`."""
        blank: deque[str] = deque()

        def pictures() -> Iterator[Group]:
            for clip in clips:
                if clip.frames:
                    yield clip.clip_id, [frame.jpeg for frame in clip.frames]
                else:
                    blank.append(clip.clip_id)

        for clip_id, vectors in fed(self._model, pictures(), self._threads):
            scores = unit_rows(vectors) @ self._head.weight + self._head.bias
            yield clip_id, Score({"score": float(np.mean(scores, dtype=np.float64))})
            yield from _blanks(blank)
        yield from _blanks(blank)


def load_head(file: Path) -> Head:
    """A head out of a `.safetensors`, `.npz`, `.pt` or `.pth` file: one array whose name ends in
    `weight`, of one row or none, and one whose name ends in `bias`, of one number.

    Raises UserError for any other file.
    """
    arrays = _arrays(file)
    named = {
        part: [array for name, array in arrays.items() if name.endswith(part)]
        for part in ("weight", "bias")
    }
    if any(len(found) != 1 for found in named.values()):
        raise UserError(
            f"head {file} holds {', '.join(sorted(arrays)) or 'nothing'}; it must hold one weight "
            "and one bias, since a head is one linear layer"
        )
    weight, bias = named["weight"][0], named["bias"][0]
    if weight.ndim > 2 or weight.size != weight.shape[-1] or bias.size != 1:
        raise UserError(
            f"head {file} has a weight of {_shape(weight)} and a bias of {_shape(bias)}; "
            "it must give one number: a weight of 1 x dimensions and a bias of 1"
        )
    return Head(weight.reshape(-1), float(bias.reshape(-1)[0]))


def _arrays(file: Path) -> Mapping[str, NDArray[np.float32]]:
    if file.suffix not in _READERS:
        raise UserError(
            f"head {file} is of no known format; take one of {', '.join(sorted(_READERS))}"
        )
    try:
        arrays = _READERS[file.suffix](file)
        return {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
    except UserError:  # of an extra that isn't installed
        raise
    except Exception as error:  # each reader has its own
        raise _unreadable(file, error) from error


def _of_numpy(file: Path) -> Mapping[str, Any]:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _of_safetensors(file: Path) -> Mapping[str, Any]:
    return _in_numpy(required("safetensors.torch").load_file(file))


def _of_torch(file: Path) -> Mapping[str, Any]:
    # Anything but weights could be code, and is refused.
    return _in_numpy(required("torch").load(file, map_location="cpu", weights_only=True))


def _in_numpy(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}


_READERS: Mapping[str, Callable[[Path], Mapping[str, Any]]] = {
    ".npz": _of_numpy,
    ".pt": _of_torch,
    ".pth": _of_torch,
    ".safetensors": _of_safetensors,
}


def _embedder(settings: AestheticScorer) -> TransformersEmbedder:
    """Equal to an embedder of the same model in the settings, which is then loaded only once."""
    return TransformersEmbedder(
        backend="transformers",
        model=settings.model,
        revision=settings.revision,
        precision=settings.precision,
        device=settings.device,
        batch_size=settings.batch_size,
    )


def _blanks(blank: "deque[str]") -> Iterator[tuple[str, Score]]:
    while blank:
        yield blank.popleft(), Score(error="the clip has no frames")


def _shape(array: NDArray[np.float32]) -> str:
    return " x ".join(str(size) for size in array.shape) or "1"


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"head {file} can't be read: {error}; correct `head`, or copy it again")
