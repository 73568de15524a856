"""A network of torch on its device: tensors in, rows of numbers out, one batch ahead.

What a batch is made from and what its rows mean belongs to the capabilities.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakehouse.models.batch_model import Rows
from lakehouse.models.device import Placement, enough_memory, hold_threads, required

Tensors = Mapping[str, Any]
"""Of torch, by the names of the network's arguments."""


@dataclass(frozen=True)
class Launched:
    """Rows on their way; `arrived` is the event of their arrival, where there is something to wait
    for."""

    rows: Any
    arrived: Any = None


class Network:
    """A module of torch that keeps its weights in fp32 and computes in the placement's precision:
    sums along the layers stay in fp32, so that bf16 costs little of a vector."""

    def __init__(self, module: Any, placement: Placement) -> None:
        with enough_memory(placement):
            self.module = module.to(placement.device).eval()
        self.placement = placement
        self._torch = required("torch")

    def pinned(self, tensors: Tensors) -> Tensors:
        """The tensors as the device takes them quickest."""
        if not self.placement.is_cuda:
            return tensors
        return {name: self._narrowed(tensor).pin_memory() for name, tensor in tensors.items()}

    def launch(
        self, work: Callable[..., Any], tensors: Tensors, host_only: frozenset[str] = frozenset()
    ) -> Launched:
        """Start `work(**tensors)`, which returns a tensor of rows, with the tensors on the device,
        but for those that it reads in Python. Raises UserError for too little memory."""
        torch, placement = self._torch, self.placement
        if not placement.is_cuda:
            hold_threads(placement.threads)
        with enough_memory(placement), torch.inference_mode(), self._computing():
            moved = {
                name: tensor
                if name in host_only
                else tensor.to(placement.device, non_blocking=True)
                for name, tensor in tensors.items()
            }
            rows = work(**moved).float()
            if not placement.is_cuda:
                return Launched(rows)
            # Copied from here, not when collected: by then the next batch would be in front.
            host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            host.copy_(rows, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(placement.device))
            return Launched(host, arrived)

    def collect(self, launched: Launched) -> Rows:
        """See `BatchModel.collect`."""
        if launched.arrived is not None:
            launched.arrived.synchronize()
        # A copy, since pinned memory is scarce, and used again.
        return np.array(launched.rows.cpu().numpy(), dtype=np.float32)

    def _computing(self) -> AbstractContextManager[Any]:
        if self.placement.precision != "bf16":
            return nullcontext()
        kind = self.placement.device.split(":")[0]
        return self._torch.autocast(kind, dtype=self._torch.bfloat16)

    def _narrowed(self, tensor: Any) -> Any:
        # The first layer would round just the same, after twice the way.
        is_wide = self.placement.precision == "bf16" and tensor.dtype == self._torch.float32
        return tensor.to(self._torch.bfloat16) if is_wide else tensor
