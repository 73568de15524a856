"""All stages of a lake in the order in which they feed each other."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from lakehouse.settings import Settings
from lakehouse.stages import (
    caption_embeddings,
    captions,
    clips,
    embeddings,
    model_scores,
    recordings,
    scores,
)
from lakehouse.stages.caption_embeddings import CaptionEmbeddingsStage
from lakehouse.stages.captions import CaptionsStage
from lakehouse.stages.clips import ClipsStage
from lakehouse.stages.embeddings import EmbeddingsStage
from lakehouse.stages.model_scores import ModelScoresStage
from lakehouse.stages.recordings import RecordingsStage
from lakehouse.stages.scores import ScoresStage
from lakehouse.stages.stage import Stage
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake

_Of = TypeVar("_Of")
_Found = TypeVar("_Found")


def _each(named: Mapping[str, _Of], make: Callable[[str, _Of], _Found]) -> tuple[_Found, ...]:
    return tuple(make(name, of) for name, of in sorted(named.items()))


def _recordings(of: Settings, bucket: Bucket, lake: Lake) -> tuple[Stage, ...]:
    pattern = KeyPattern.parse(of.key_pattern)
    return (RecordingsStage(lake, bucket, pattern, of.workers, of.limits, of.settle_s),)


_STAGES: dict[str, Callable[[Settings, Bucket, Lake], tuple[Stage, ...]]] = {
    "recordings": _recordings,
    "clips": lambda of, bucket, lake: (ClipsStage(lake, bucket, of.clips, of.limits, of.workers),),
    "scores": lambda _of, _bucket, lake: (ScoresStage(lake),),
    "model_scores": lambda of, _, lake: _each(
        of.scorers,
        lambda name, one: ModelScoresStage(lake, name, one, of.thresholds, of.model_threads),
    ),
    "captions": lambda of, _, lake: _each(
        of.captioners, lambda name, one: CaptionsStage(lake, name, one, of.thresholds, of.scorers)
    ),
    "embeddings": lambda of, _, lake: _each(
        of.embedders, lambda name, one: EmbeddingsStage(lake, name, one, of.model_threads)
    ),
    "caption_embeddings": lambda of, _, lake: _each(
        of.caption_embedders,
        lambda name, one: CaptionEmbeddingsStage(lake, name, one, of.model_threads),
    ),
}
_VERSIONS: dict[str, Callable[[Settings], tuple[str, ...]]] = {
    "recordings": lambda _: (recordings.version(),),
    "clips": lambda of: (clips.version(of.clips),),
    "scores": lambda _: (scores.version(),),
    "model_scores": lambda of: _each(of.scorers, model_scores.version),
    "captions": lambda of: _each(of.captioners, captions.version),
    "embeddings": lambda of: _each(of.embedders, embeddings.version),
    "caption_embeddings": lambda of: _each(of.caption_embedders, caption_embeddings.version),
}

FAMILIES = tuple(_STAGES)
"""The stages by family; those of models have one stage for each named model."""


def stages_of(family: str, settings: Settings, bucket: Bucket, lake: Lake) -> tuple[Stage, ...]:
    """The stages of one family."""
    return _STAGES[family](settings, bucket, lake)


def versions_of(family: str, settings: Settings) -> tuple[str, ...]:
    """The versions of a family's stages; needs neither bucket nor lake."""
    return _VERSIONS[family](settings)


def chain(settings: Settings, bucket: Bucket, lake: Lake) -> tuple[Stage, ...]:
    """Every stage, parents before children."""
    return tuple(
        stage for family in FAMILIES for stage in stages_of(family, settings, bucket, lake)
    )
