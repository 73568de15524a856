"""Settings under which the tiny model says the same in this process and behind vLLM's server."""

import json
from pathlib import Path
from typing import Any

from lakehouse.settings import VisionEngine, VisionServer

FRAMES = 4
"""A question, at most."""
MAX_MODEL_LEN = 4096
MAX_IN_FLIGHT = 8
MAX_TOKENS = 384
"""Enough for its answers to end."""
# Blanks between the fields of an answer would be all that a model without sense says.
_COMPACT = {"backend": "guidance", "disable_any_whitespace": True}

SERVED_NAME = "tiny"
SERVER_ARGUMENTS = (
    "--enforce-eager",
    *("--served-model-name", SERVED_NAME),
    *("--max-model-len", str(MAX_MODEL_LEN)),
    *("--max-num-seqs", str(MAX_IN_FLIGHT)),
    *("--limit-mm-per-prompt", json.dumps({"image": FRAMES, "video": 0})),
    *("--structured-outputs-config", json.dumps(_COMPACT)),
)


def of_engine(model: Path, **changes: Any) -> dict[str, Any]:
    """Settings of the backend vllm."""
    return _asked("vllm", str(model)) | {
        "max_in_flight": MAX_IN_FLIGHT,
        "max_model_len": MAX_MODEL_LEN,
        "engine": {"enforce_eager": True, "structured_outputs_config": _COMPACT},
        **changes,
    }


def of_server(base_url: str, **changes: Any) -> dict[str, Any]:
    """Settings of the backend openai."""
    return _asked("openai", SERVED_NAME) | {
        "base_url": base_url,
        "max_in_flight": MAX_IN_FLIGHT,
        **changes,
    }


def engine(model: Path, **changes: Any) -> VisionEngine:
    return VisionEngine.model_validate(of_engine(model, **changes))


def server(base_url: str, **changes: Any) -> VisionServer:
    return VisionServer.model_validate(of_server(base_url, **changes))


def _asked(backend: str, model: str) -> dict[str, Any]:
    return {
        "backend": backend,
        "model": model,
        "max_tokens": MAX_TOKENS,
        "frames_per_request": FRAMES,
    }
