"""What becomes of the settings of an engine in this process, where vLLM is not installed, too old,
or can't load the model. What it answers is tested with the real one: `tests/models`.
"""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.models.vision import vllm
from lakehouse.models.vision.vllm import engine_arguments, engine_of
from lakehouse.settings import VisionEngine, VllmCaptioner, VllmJudge
from tests.test_stepping import numbered

START_METHOD, USAGE = "VLLM_WORKER_MULTIPROC_METHOD", "VLLM_NO_USAGE_STATS"


class FakeLLM:
    """Loads anything, and keeps with what arguments."""

    loaded: list[dict[str, Any]]
    model_config = SimpleNamespace(get_diff_sampling_param=dict)

    def __init__(self, **arguments: Any) -> None:
        self.loaded.append(arguments)

    def enqueue_chat(self) -> None:
        raise AssertionError("nothing is asked here")


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "_LOADED", {})
    for name in (START_METHOD, USAGE, "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "of the user")


def install(monkeypatch: pytest.MonkeyPatch, llm: type) -> None:
    """Make this class vLLM's."""
    llm.loaded = []  # type: ignore[attr-defined]
    package = ModuleType("vllm")
    exceptions, params = ModuleType("vllm.exceptions"), ModuleType("vllm.sampling_params")
    package.LLM, package.SamplingParams = llm, SimpleNamespace(from_optional=dict)  # type: ignore[attr-defined]
    exceptions.VLLMClientError = ValueError  # type: ignore[attr-defined]
    params.StructuredOutputsParams = dict  # type: ignore[attr-defined]
    for module in (package, exceptions, params):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def settings(**changes: Any) -> VisionEngine:
    return VisionEngine.model_validate({"backend": "vllm", "model": "org/vlm"} | changes)


def test_settings_become_arguments_by_vllms_names() -> None:
    asked = settings(
        max_in_flight=32,
        max_model_len=8192,
        tensor_parallel=2,
        gpu_memory_share=0.8,
        prefix_caching=False,
        precision="bfloat16",
        quantization="fp8",
        frames_per_request=8,
        revision="main",
    )
    assert engine_arguments(asked) == {
        "model": "org/vlm",
        "revision": "main",
        "max_model_len": 8192,
        "max_num_seqs": 32,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.8,
        "enable_prefix_caching": False,
        "dtype": "bfloat16",
        "quantization": "fp8",
        "limit_mm_per_prompt": {"image": 8, "video": 0},
        "mm_processor_cache_gb": 0,
    }


def test_what_is_set_under_engine_goes_before_all_others() -> None:
    changed = settings(engine={"dtype": "half", "enforce_eager": True})
    assert engine_arguments(changed) == engine_arguments(settings()) | changed.engine


def test_a_captioner_and_a_judge_of_one_model_share_an_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeLLM)
    common = {"backend": "vllm", "model": "org/vlm"}
    engine_of(VllmCaptioner.model_validate(common | {"language": "zh", "max_tokens": 900}))
    engine_of(VllmJudge.model_validate(common | {"question": "How tidy?", "temperature": 0.4}))
    assert len(FakeLLM.loaded) == 1


@pytest.mark.parametrize("changes", [{"model": "org/other"}, {"engine": {"seed": 1}}])
def test_another_model_or_engine_is_loaded_beside(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    install(monkeypatch, FakeLLM)
    engine_of(settings())
    engine_of(settings(**changes))
    assert len(FakeLLM.loaded) == 2


def test_an_engine_that_died_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(FakeLLM):
        def enqueue_chat(self, *_: object, **__: object) -> None:
            raise RuntimeError("CUDA error")

    install(monkeypatch, Dying)
    with pytest.raises(UserError, match=r"CUDA error.*what is committed is kept"):
        list(engine_of(settings()).ask(numbered(1)))
    engine_of(settings())
    assert len(Dying.loaded) == 2


def test_lance_is_never_forked_and_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeLLM)
    monkeypatch.delenv(START_METHOD)
    monkeypatch.delenv(USAGE)
    engine_of(settings())
    assert (os.environ[START_METHOD], os.environ[USAGE]) == ("spawn", "1")


def test_what_the_user_has_set_for_vllm_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeLLM)
    engine_of(settings())
    assert os.environ[START_METHOD] == "of the user"


def test_without_vllm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"pip install 'kennel\[vllm\]'"):
        engine_of(settings())


def test_a_vllm_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        """Knows no `enqueue_chat`."""

    install(monkeypatch, Old)
    with pytest.raises(UserError, match="too old"):
        engine_of(settings())


@pytest.mark.parametrize("model", ["./weights", "/models/vlm", "models/qwen/vlm"])
def test_a_folder_that_is_not_there_is_not_looked_for_at_a_hub(model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        engine_of(settings(model=model.replace("/models", str(tmp_path))))


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        (ValueError("No available memory for\nthe cache blocks."), "lower gpu_memory_share"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "lower gpu_memory_share"),
        (TypeError("got an unexpected keyword argument 'seeds'"), "correct engine"),
        (OSError("org/vlm is no model identifier"), "correct model"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_in_one_line_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, remedy: str
) -> None:
    class Failing(FakeLLM):
        def __init__(self, **_: Any) -> None:
            raise problem

    install(monkeypatch, Failing)
    with pytest.raises(UserError, match=remedy) as caught:
        engine_of(settings())
    assert "\n" not in str(caught.value)
    assert "org/vlm" in str(caught.value)
