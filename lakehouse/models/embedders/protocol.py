"""What an embedder is given and what it returns, whichever backend computes it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class EmbedderDescriptor:
    """What identifies an embedder without loading it. `version` changes with anything that
    changes its vectors; `dimensions` is their length."""

    model: str
    version: str
    dimensions: int


class Embedder(Protocol):
    """A loaded embedder."""

    def embed(self, clips: Iterable[tuple[str, Sequence[bytes]]]) -> Iterator[tuple[str, Vector]]:
        """Pairs of clip_id and unit vector, for pairs of clip_id and its frames as upright JPEGs.

        Every clip has at least one frame. Clips are taken lazily, and a backend may batch them.
        """
        ...
