"""Which tables a lake has under given settings: those of every stage, and of each named model.

Their columns are `tables.schemas`; what SQL shows of them is `views`.
"""

from lakehouse.models.embedders.registry import describe, describe_captions
from lakehouse.settings import Settings
from lakehouse.stages.embeddings import keeps_frame_vectors
from lakehouse.tables import schemas
from lakehouse.tables.schemas import Table

FIXED = (
    schemas.RECORDINGS,
    schemas.CLIPS,
    schemas.FRAMES,
    schemas.SCORES,
    schemas.CAPTIONS,
    schemas.RUNS,
)
"""The tables that queries can't do without."""


def score_tables(settings: Settings) -> dict[str, Table]:
    """The table of each model that scores clips, by its name."""
    return {scorer: schemas.model_scores(scorer) for scorer in sorted(settings.scorers)}


def embedding_tables(settings: Settings) -> dict[str, Table]:
    """The table of each embedder of clips, by variant."""
    return {
        variant: schemas.embeddings(variant, describe(embedder).dimensions)
        for variant, embedder in sorted(settings.embedders.items())
    }


def frame_embedding_tables(settings: Settings) -> dict[str, Table]:
    """The table of frame vectors of each embedder that keeps them, by variant."""
    return {
        variant: schemas.frame_embeddings(variant, describe(embedder).dimensions)
        for variant, embedder in sorted(settings.embedders.items())
        if keeps_frame_vectors(embedder)
    }


def caption_embedding_tables(settings: Settings) -> dict[str, Table]:
    """The table of each embedder of captions, by variant."""
    return {
        variant: schemas.caption_embeddings(variant, describe_captions(embedder).dimensions)
        for variant, embedder in sorted(settings.caption_embedders.items())
    }


def all_tables(settings: Settings) -> tuple[Table, ...]:
    """Every table of the lake."""
    return (
        *FIXED,
        schemas.DAILY_REPORTS,
        *score_tables(settings).values(),
        *embedding_tables(settings).values(),
        *frame_embedding_tables(settings).values(),
        *caption_embedding_tables(settings).values(),
    )
