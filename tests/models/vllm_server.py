"""vLLM's own OpenAI server in a process of its own, for as long as a test session."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_STARTED_S = 600.0
"""It takes half a minute on an idle machine."""
_LOOK_EVERY_S = 0.2


@contextmanager
def vllm_server(model: Path, log: Path, *arguments: str) -> Iterator[str]:
    """Its `base_url`. What it says goes to `log`; its processes are ended at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    place = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, *place, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for_health(process, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_health(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTED_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(_LOOK_EVERY_S)
    raise RuntimeError(f"the server didn't start:\n{log.read_text(errors='replace')[-4000:]}")
