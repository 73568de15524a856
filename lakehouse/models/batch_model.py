"""A network that turns items (frames as JPEGs, or texts) into rows of numbers, batch by batch.

Reading, and keeping the device busy, is `engine.feeding`; what the numbers mean, the capability.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


class BatchModel(Protocol):
    """A loaded network. `prepare` may be called by several threads at once; `launch` and `collect`
    are called by one thread, in turn, with at most two batches launched and not collected."""

    @property
    def batch_size(self) -> int:
        """Items at once, at most."""
        ...

    def prepare(self, items: Sequence[Any]) -> Any:
        """The batch as the network takes it: decoded, resized, tokenised. Runs on the CPU."""
        ...

    def launch(self, prepared: Any) -> Any:
        """Start the network on a prepared batch. Where the device works by itself, this returns
        before it is done. Raises UserError where the device has too little memory."""
        ...

    def collect(self, launched: Any) -> Rows:
        """Wait for a launched batch: one row of numbers for each item, in their order."""
        ...
