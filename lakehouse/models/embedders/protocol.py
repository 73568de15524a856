"""What an embedder is: a network that turns frames, or texts, into vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lakehouse.models.batch_model import BatchModel, Rows


@dataclass(frozen=True)
class EmbedderDescriptor:
    """What identifies an embedder without loading it. `version` changes with anything that
    changes its vectors; `dimensions` is their length."""

    model: str
    version: str
    dimensions: int


class Embedder(BatchModel, Protocol):
    """A `BatchModel` whose rows are vectors, not yet of unit length.

    Of clips the items are frames as upright JPEGs, and a clip's vector is the mean of its frames'
    unit vectors, at unit length. Of captions the items are their texts.
    """


class JointEmbedder(Embedder, Protocol):
    """An embedder of frames that puts texts into the same space, so that text finds clips."""

    def embed_texts(self, texts: Sequence[str]) -> Rows:
        """One unit vector for each text."""
        ...
