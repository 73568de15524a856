"""Where a network runs and how: device, precision, batch size, threads.

What runs there is `network`; what an extra brings is imported only where it is used.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from lakehouse.errors import UserError

Precision = Literal["fp32", "bf16", "int8"]

_BATCH_SIZES = {"cuda": 256, "mps": 32, "cpu": 8}
"""A GPU needs many pictures at once to be busy; a CPU only pays with memory for more than a few."""

_SAYS_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Placement:
    """`device` as torch names it; `title` is what it is, of a GPU. `threads` are those of a network
    on the CPU."""

    device: str
    title: str
    precision: Precision
    batch_size: int
    threads: int

    @property
    def is_cuda(self) -> bool:
        """Whether the device works by itself, from memory of its own."""
        return self.device.startswith("cuda")


def choose(
    device: str,
    precision: Literal["auto", "fp32", "bf16", "int8"],
    batch_size: int | None,
    threads: int,
) -> Placement:
    """Where a network of these settings runs on this machine.

    `auto` takes a GPU where there is one, and bf16 on a GPU made for it. Raises UserError for a
    device that isn't there, for int8 on a GPU, and where torch isn't installed.
    """
    torch = required("torch")
    if precision == "int8":
        if device not in ("auto", "cpu"):
            raise UserError(f"int8 runs on the CPU; set device to cpu instead of {device}")
        found = "cpu"
    else:
        found = _found(torch, device)
    kind = found.split(":")[0]
    fast: Precision = "bf16" if kind == "cuda" and _is_made_for_bf16(torch, found) else "fp32"
    return Placement(
        device=found,
        title=torch.cuda.get_device_name(found) if kind == "cuda" else "",
        precision=fast if precision == "auto" else precision,
        batch_size=batch_size or _BATCH_SIZES[kind],
        threads=threads,
    )


def description(placement: Placement) -> str:
    """One line for people: `cpu, fp32, batch 8, 2 threads`."""
    where = f"{placement.device} {placement.title}".strip()
    line = f"{where}, {placement.precision}, batch {placement.batch_size}"
    if placement.device != "cpu":
        return line
    return f"{line}, {placement.threads} thread{'s' * (placement.threads != 1)}"


def required(module: str, extra: str = "torch") -> Any:
    """A module that an extra brings. Raises UserError where the extra isn't installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} can't be imported ({error}); install it: pip install -e '.[{extra}]'"
        ) from error


def hold_threads(count: int) -> None:
    """Hold torch to so many threads for what this thread computes, and those that begin later."""
    torch = required("torch")
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


@contextmanager
def enough_memory(placement: Placement) -> Iterator[None]:
    """Raises UserError where the block runs out of the device's memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own error is a RuntimeError
        if isinstance(error, RuntimeError) and not _is_about_memory(error):
            raise
        raise UserError(
            f"{placement.device} has too little memory for batches of {placement.batch_size}; "
            f"set batch_size below {placement.batch_size}, or take another device"
        ) from error


def _found(torch: Any, device: str) -> str:
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "mps" and not torch.backends.mps.is_available():
        raise UserError("device mps isn't there; set device to auto or cpu")
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index >= count:
            raise UserError(
                f"device {device} isn't there: torch sees {count} CUDA devices; "
                "set device to auto or cpu"
            )
        return f"cuda:{index}"
    return device


def _is_made_for_bf16(torch: Any, device: str) -> bool:
    # Older GPUs emulate bf16, which is slower than fp32.
    return bool(torch.cuda.get_device_capability(device)[0] >= 8)


def _is_about_memory(error: RuntimeError) -> bool:
    return any(sign in str(error).lower() for sign in _SAYS_NO_MEMORY)
