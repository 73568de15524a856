"""A vision-language model that vLLM runs in this process: no server, no HTTP between frame and GPU.

Here settings become an engine, loaded once, and a request its call. Keeping the engine full is
`stepping`'s; what is asked, the question knows. vLLM is imported only when an engine is loaded.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import UserError
from lakehouse.models.vision.protocol import Answer, Question, Value, VisionModel
from lakehouse.models.vision.reading import Said, reason
from lakehouse.models.vision.stepping import RefusedError, Request, Stepper
from lakehouse.models.weights import shown_name
from lakehouse.settings import VisionEngine

_REASON_LIMIT = 300  # characters
_MEMORY_WORDS = ("out of memory", "no available memory", "kv cache", "gpu memory")
_LOADED: dict[str, Stepper] = {}
_LOADING = threading.Lock()


def engine_of(settings: VisionEngine) -> VisionModel:
    """The model, loaded at the first call and shared by all settings of this process that differ in
    nothing but what is asked: max_tokens and temperature.

    Raises UserError where vLLM isn't installed or can't load the model.
    """
    arguments = engine_arguments(settings)
    key = json.dumps(arguments, sort_keys=True, default=str)
    with _LOADING:
        stepper = _LOADED.get(key)
        if stepper is None or stepper.is_dead:
            stepper = Stepper(lambda: _Engine(settings, arguments), settings.max_in_flight)
            _LOADED[key] = stepper
    return _Model(stepper, settings.temperature, settings.max_tokens)


def engine_arguments(settings: VisionEngine) -> dict[str, Any]:
    """The arguments of `vllm.LLM`; those of the setting `engine` go before all others."""
    arguments = {
        "model": settings.model,
        "revision": settings.revision,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_in_flight,
        "tensor_parallel_size": settings.tensor_parallel,
        "gpu_memory_utilization": settings.gpu_memory_share,
        "enable_prefix_caching": settings.prefix_caching,
        "dtype": settings.precision,
        "quantization": settings.quantization,
        # vLLM sets memory aside for as much as a prompt may hold.
        "limit_mm_per_prompt": {"image": settings.frames_per_request, "video": 0},
        # A frame is asked about once: a cache of frames would only take memory.
        "mm_processor_cache_gb": 0,
    }
    return arguments | settings.engine


@dataclass(frozen=True)
class _Model:
    stepper: Stepper
    temperature: float
    max_tokens: int

    def ask(self, questions: Iterable[Question[Value]]) -> Iterator[Answer[Value]]:
        """See `VisionModel.ask`."""
        return self.stepper.ask(questions, self.temperature, self.max_tokens)


class _Engine:
    """A `SteppedEngine` of vLLM's. Not for several threads."""

    def __init__(self, settings: VisionEngine, arguments: dict[str, Any]) -> None:
        self._name = shown_name(settings.model)
        self._llm = _loaded(settings, arguments)
        from vllm import SamplingParams  # noqa: PLC0415, slow to import
        from vllm.exceptions import VLLMClientError  # noqa: PLC0415
        from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415

        self._params_of, self._structured = SamplingParams.from_optional, StructuredOutputsParams
        self._refusals = (ValueError, OSError, VLLMClientError)
        # Of the model's `generation_config.json`, which vLLM's server goes by as well.
        self._defaults = self._llm.model_config.get_diff_sampling_param()

    def add(self, request: Request) -> str:
        """See `SteppedEngine`."""
        try:
            params = self._params_of(
                **self._defaults
                | {
                    "temperature": request.sampled.temperature,
                    "seed": request.sampled.seed,
                    "max_tokens": request.max_tokens,
                    "structured_outputs": self._structured(json=dict(request.schema)),
                }
            )
            (name,) = self._llm.enqueue_chat([request.messages], params, use_tqdm=False)
        except self._refusals as refusal:
            raise RefusedError(f"the engine refuses the question: {_reason(refusal)}") from refusal
        except Exception as error:
            raise self._death(error) from error
        return str(name).partition("-")[0]  # what follows is random, and not told by `step`

    def step(self) -> list[tuple[str, Said]]:
        """See `SteppedEngine`."""
        try:
            outputs = self._llm.llm_engine.step()
        except Exception as error:
            raise self._death(error) from error
        return [(str(output.request_id), _said(output)) for output in outputs if output.finished]

    def abort(self, names: Sequence[str]) -> None:
        """See `SteppedEngine`."""
        try:
            self._llm.llm_engine.abort_request(list(names))
        except Exception as error:
            raise self._death(error) from error

    def death(self) -> UserError | None:
        """See `SteppedEngine`. An engine in a process of its own that is killed, by the system's
        lack of memory for one, is noticed by vLLM, but not told to who waits for its output."""
        process = getattr(self._llm.llm_engine.engine_core, "resources", None)
        if not getattr(process, "engine_dead", False):
            return None
        return self._ended("its process is gone")

    def _death(self, error: Exception) -> UserError:
        return self._ended(_reason(error))

    def _ended(self, reason: str) -> UserError:
        return UserError(
            f"vLLM failed while it ran {self._name} ({reason}); run again: what is committed is "
            "kept. If it was short of memory, lower max_in_flight, max_model_len or "
            "gpu_memory_share"
        )


def _said(output: Any) -> Said:
    (completion,) = output.outputs
    ended = completion.finish_reason
    return Said(
        completion.text,
        is_cut=ended == "length",
        tokens_in=len(output.prompt_token_ids),
        tokens_out=len(completion.token_ids),
        problem=None if ended in ("stop", "length") else f"the engine gave it up ({ended})",
    )


def _loaded(settings: VisionEngine, arguments: dict[str, Any]) -> Any:
    _require_folder(settings.model)
    # Lance does not survive a fork.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    try:
        from vllm import LLM  # noqa: PLC0415, slow to import
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise _no_import(error) from error
        raise UserError(
            "backend vllm needs vLLM, which is not installed: pip install 'kennel[vllm]' "
            "(in a clone: pip install -e '.[vllm]')"
        ) from error
    except Exception as error:
        raise _no_import(error) from error
    if not hasattr(LLM, "enqueue_chat"):
        raise UserError("the installed vLLM is too old: pip install --upgrade 'kennel[vllm]'")
    try:
        return LLM(**arguments)
    except Exception as error:
        raise UserError(_why_not_loaded(settings, error)) from error


def _require_folder(model: str) -> None:
    """A hub's names have at most one slash, and start with a letter or a digit."""
    looks_like_path = model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model
    if looks_like_path and not Path(model).is_dir():
        raise UserError(f"model {model} is no folder; correct model, or put the weights there")


def _no_import(error: Exception) -> UserError:
    return UserError(
        f"vLLM can't be imported ({_reason(error)}); install it anew for this machine's "
        "driver and Python"
    )


def _why_not_loaded(settings: VisionEngine, error: Exception) -> str:
    said = _reason(error)
    begin = f"vLLM can't load {shown_name(settings.model)} ({said}); "
    if isinstance(error, TypeError) and "argument" in said:
        return begin + "correct engine: it holds arguments of vllm.LLM"
    if any(words in said.lower() for words in _MEMORY_WORDS):
        others = " or of the other engines of this process" if _LOADED else ""
        return begin + (
            f"lower gpu_memory_share{others}, max_model_len or max_in_flight, or spread it over "
            "more GPUs by tensor_parallel"
        )
    return begin + "what vLLM wrote above tells more; correct model, engine or the memory settings"


def _reason(error: Exception) -> str:
    words = reason(error) if isinstance(error, ValueError) else str(error)
    return " ".join(words.split())[:_REASON_LIMIT] or type(error).__name__
