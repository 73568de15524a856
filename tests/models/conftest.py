"""Tests that need the extra `torch`, or vLLM too: left out where they aren't installed."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore_glob = [
    *(["test_*.py"] if find_spec("torch") is None else []),
    *(["test_vllm*.py"] if find_spec("vllm") is None else []),
]

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    # Threads that are bound to cores wait for each other where something else runs on these.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of this name, made when first asked for."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        from tests.models.tiny_networks import MAKERS

        if name.startswith("dinov3"):
            pytest.importorskip("torchvision")  # which alone prepares its pictures
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            MAKERS[name](made[name])
        return made[name]

    return of


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny vision-language model."""
    from tests.models.tiny_vlm import write_tiny_vlm

    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_vlm(folder)
    return folder


@pytest.fixture(scope="session")
def vllm_url(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of vLLM's server of that model."""
    from tests.models.tiny_settings import SERVER_ARGUMENTS
    from tests.models.vllm_server import vllm_server

    log = tmp_path_factory.mktemp("server") / "said"
    with vllm_server(tiny_vlm, log, *SERVER_ARGUMENTS) as base_url:
        yield base_url
