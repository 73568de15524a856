"""All stages of a lake in the order in which they feed each other."""

from lakehouse.settings import Settings
from lakehouse.stages import captions, clips, embeddings, recordings, scores
from lakehouse.stages.captions import CaptionsStage
from lakehouse.stages.clips import ClipsStage
from lakehouse.stages.embeddings import EmbeddingsStage
from lakehouse.stages.recordings import RecordingsStage
from lakehouse.stages.scores import ScoresStage
from lakehouse.stages.stage import Stage
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake

FAMILIES = ("recordings", "clips", "scores", "captions", "embeddings")
"""The stages by family; captions and embeddings have one stage for each variant."""


def stages_of(family: str, settings: Settings, bucket: Bucket, lake: Lake) -> tuple[Stage, ...]:
    """The stages of one family."""
    match family:
        case "recordings":
            pattern = KeyPattern.parse(settings.key_pattern)
            return (
                RecordingsStage(
                    lake, bucket, pattern, settings.workers, settings.limits, settings.settle_s
                ),
            )
        case "clips":
            return (ClipsStage(lake, bucket, settings.clips, settings.limits, settings.workers),)
        case "scores":
            return (ScoresStage(lake),)
        case "captions":
            return tuple(
                CaptionsStage(lake, variant, captioner, settings.thresholds)
                for variant, captioner in sorted(settings.captioners.items())
            )
        case "embeddings":
            return tuple(
                EmbeddingsStage(lake, variant, embedder)
                for variant, embedder in sorted(settings.embedders.items())
            )
    raise ValueError(f"{family} is none of {', '.join(FAMILIES)}")


def versions_of(family: str, settings: Settings) -> tuple[str, ...]:
    """The versions of a family's stages; needs neither bucket nor lake."""
    match family:
        case "recordings":
            return (recordings.version(),)
        case "clips":
            return (clips.version(settings.clips),)
        case "scores":
            return (scores.version(),)
        case "captions":
            return tuple(
                captions.version(variant, captioner)
                for variant, captioner in sorted(settings.captioners.items())
            )
        case "embeddings":
            return tuple(
                embeddings.version(variant, embedder)
                for variant, embedder in sorted(settings.embedders.items())
            )
    raise ValueError(f"{family} is none of {', '.join(FAMILIES)}")


def chain(settings: Settings, bucket: Bucket, lake: Lake) -> tuple[Stage, ...]:
    """Every stage, parents before children."""
    return tuple(
        stage for family in FAMILIES for stage in stages_of(family, settings, bucket, lake)
    )
