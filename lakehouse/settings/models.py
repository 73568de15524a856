"""The settings of every model backend: captioners, scorers, embedders of clips and of captions.

What a backend does with them stands in its own file under `lakehouse.models`. A `model` is a folder
or a name that a model hub knows.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lakehouse.settings.group import Group

Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
"""`auto` takes a GPU where there is one."""

ScorerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of a column."""


class _Asked(Group):
    """A vision-language model that answers questions about frames."""

    model: str
    max_tokens: int = Field(default=1024, ge=16)
    """Of an answer; one that is longer is cut, and an error."""
    temperature: float = Field(default=0.0, ge=0)
    frames_per_request: int = Field(default=16, ge=1)
    """A clip of more frames is asked about in windows of at most so many, which are merged."""


class VisionServer(_Asked):
    """Any server that speaks OpenAI's chat completions with images, such as vLLM's."""

    backend: Literal["openai"]
    base_url: str
    """For instance `http://127.0.0.1:8000/v1`."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is never a setting."""
    max_in_flight: int = Field(default=16, ge=1)
    """Requests at once at most; fewer for as long as the server answers 429 or 503."""
    max_retries: int = Field(default=5, ge=0)
    timeout_s: float = Field(default=120.0, gt=0)
    """For one answer."""
    deadline_s: float = Field(default=600.0, gt=0)
    """For one question, all its retries and waits together."""
    silence_s: float = Field(default=300.0, gt=0)
    """Where no request was answered for so long, the run ends instead of asking on."""


class VisionEngine(_Asked):
    """vLLM in this process."""

    backend: Literal["vllm"]
    revision: str | None = None
    """Of the model, at the hub."""
    max_in_flight: int = Field(default=64, ge=1)
    """Sequences that the engine works on at once."""
    max_model_len: int | None = Field(default=None, ge=256)
    """Tokens of question and answer together; none for what the model was made for."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that one model is spread over."""
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1)
    prefix_caching: bool = True
    """Computes the prompt, which all questions share, only once."""
    precision: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: str | None = None
    engine: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, by their names there."""


class _Captioning(Group):
    """What captions are asked for, and when one may stand for several clips."""

    language: Literal["en", "zh"] = "en"
    prompt_file: Path | None = None
    """A text file instead of the built-in inspection prompt of the language."""
    reuse: Literal["off", "exact", "near"] = "off"
    """Whether a clip takes the caption of one whose frames look the same: never; where every
    frame's perceptual hash is equal; where it is within `reuse_distance`."""
    reuse_distance: int = Field(default=6, ge=0, le=64)
    """Bits, of the 64 of a frame's perceptual hash, that may differ."""
    reuse_days: int = Field(default=30, ge=0)
    """How far back captions of the same camera are looked at."""


class MeasuredCaptioner(Group):
    """The weightless baseline: states only what was measured."""

    backend: Literal["measured"] = "measured"
    language: Literal["en", "zh"] = "en"


class OpenAICaptioner(VisionServer, _Captioning):
    """Captions by a server."""


class VllmCaptioner(VisionEngine, _Captioning):
    """Captions by vLLM in this process."""


CaptionerSettings = Annotated[
    MeasuredCaptioner | OpenAICaptioner | VllmCaptioner, Field(discriminator="backend")
]
VisionSettings = VisionServer | VisionEngine
"""What a vision-language model is reached by, whatever is asked of it."""


class _Limits(Group):
    """Which scores pass: a verdict's thresholds, which recompute nothing."""

    min_score: float | None = None
    max_score: float | None = None


class _Judging(_Limits):
    """One question about each clip, answered by a number."""

    question: str | None = None
    question_file: Path | None = None
    lowest: float = 0.0
    highest: float = 10.0

    @model_validator(mode="after")
    def _there_is_one_question_and_a_scale(self) -> Self:
        if (self.question is None) == (self.question_file is None):
            raise ValueError("a judge needs either question or question_file")
        if self.lowest >= self.highest:
            raise ValueError("lowest must be below highest")
        return self


class _Network(Group):
    """A network that torch runs, frame by frame or sentence by sentence."""

    device: Device = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    """Frames or sentences at once; none for what suits the device."""


class AestheticScorer(_Network, _Limits):
    """An image embedding and a linear head over it."""

    backend: Literal["aesthetic"]
    model: str
    """An image model, see `TransformersEmbedder`."""
    head: Path
    """A `.safetensors`, `.npz` or `.pt` file with one weight for each dimension, and a bias."""
    revision: str | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class OpenAIJudge(VisionServer, _Judging):
    """A question to a server."""


class VllmJudge(VisionEngine, _Judging):
    """A question to vLLM in this process."""


ScorerSettings = Annotated[
    AestheticScorer | OpenAIJudge | VllmJudge, Field(discriminator="backend")
]


class DescriptorEmbedder(Group):
    """The weightless baseline: a handcrafted visual descriptor."""

    backend: Literal["descriptor"] = "descriptor"


class TransformersEmbedder(_Network):
    """SigLIP, SigLIP 2, CLIP (whose texts find clips), DINOv2 or DINOv3, through transformers."""

    backend: Literal["transformers"]
    model: str
    revision: str | None = None
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """`int8` runs on the CPU, through onnxruntime; the others differ by less than rounding shows
    in a search, and so are no part of a row's version."""
    dimensions: int | None = Field(default=None, ge=1)
    """Of a vector; none where the model's `config.json` is at hand and tells."""
    keep_frame_vectors: bool = False
    """Also keep the vector of every frame."""


EmbedderSettings = Annotated[
    DescriptorEmbedder | TransformersEmbedder, Field(discriminator="backend")
]


class SentenceEmbedder(_Network):
    """A sentence-transformers model with mean pooling, over the texts of captions."""

    backend: Literal["sentences"] = "sentences"
    model: str | None = None
    """None for MiniLM (all-MiniLM-L6-v2, English) as the extra `torch` brings it."""
    revision: str | None = None
    dimensions: int | None = Field(default=None, ge=1)
    """See `TransformersEmbedder`."""
    language: Literal["en", "zh"] | None = "en"
    """Of the captions that are embedded; none for all of them."""


CaptionEmbedderSettings = SentenceEmbedder
