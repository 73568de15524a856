"""Where a network runs: what `auto` takes, what is refused, and what people are told."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.models.device import Placement, choose, description, enough_memory, required


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch as it would speak on a machine of these parts."""

    def of(cuda: int = 0, mps: bool = False, capability: int = 9) -> None:
        torch = SimpleNamespace(
            cuda=SimpleNamespace(
                is_available=lambda: cuda > 0,
                device_count=lambda: cuda,
                get_device_name=lambda _: "NVIDIA H200",
                get_device_capability=lambda _: (capability, 0),
            ),
            backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        )
        monkeypatch.setitem(sys.modules, "torch", torch)

    return of


def test_a_gpu_is_taken_where_there_is_one_and_bf16_with_it(machine: Any) -> None:
    machine(cuda=1)
    found = choose("auto", "auto", None, threads=4)
    assert description(found) == "cuda:0 NVIDIA H200, bf16, batch 256"


def test_without_a_gpu_the_cpu_is_taken_at_full_precision(machine: Any) -> None:
    machine()
    assert description(choose("auto", "auto", None, threads=2)) == "cpu, fp32, batch 8, 2 threads"


def test_a_mac_is_used_at_full_precision(machine: Any) -> None:
    machine(mps=True)
    assert description(choose("auto", "auto", None, threads=2)) == "mps, fp32, batch 32"


def test_a_gpu_that_only_emulates_bf16_stays_at_full_precision(machine: Any) -> None:
    machine(cuda=1, capability=7)
    assert choose("auto", "auto", None, threads=1).precision == "fp32"


def test_what_is_asked_for_is_taken(machine: Any) -> None:
    machine(cuda=4)
    found = choose("cuda:3", "fp32", 17, threads=1)
    assert (found.device, found.precision, found.batch_size) == ("cuda:3", "fp32", 17)
    assert choose("cpu", "bf16", None, threads=1).precision == "bf16"


def test_int8_runs_on_the_cpu_beside_a_gpu(machine: Any) -> None:
    machine(cuda=1)
    found = choose("auto", "int8", None, threads=1)
    assert description(found) == "cpu, int8, batch 8, 1 thread"


@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("cuda:1", "auto", "torch sees 1 CUDA devices"),
        ("mps", "auto", "device mps isn't there"),
        ("cuda", "int8", "set device to cpu"),
    ],
)
def test_a_device_that_cannot_do_it_is_refused(
    machine: Any, device: str, precision: Any, words: str
) -> None:
    machine(cuda=1)
    with pytest.raises(UserError, match=words):
        choose(device, precision, None, threads=1)


def test_without_the_extra_its_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[torch\]'"):
        choose("auto", "auto", None, threads=1)
    with pytest.raises(UserError, match=r"pip install -e '\.\[onnx\]'"):
        required("torch", "onnx")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_answered_by_a_smaller_batch(error: Exception) -> None:
    placement = Placement("cuda:0", "NVIDIA H200", "bf16", 256, 1)
    with pytest.raises(UserError, match="set batch_size below 256"), enough_memory(placement):
        raise error


def test_any_other_error_of_a_device_stays_what_it_is() -> None:
    placement = Placement("cuda:0", "NVIDIA H200", "bf16", 256, 1)
    with pytest.raises(RuntimeError, match="shapes"), enough_memory(placement):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
