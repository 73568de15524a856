"""Ids of captions: that of the clip, a colon, and the captioner's name, which holds none."""

import polars as pl


def caption_id(clip_id: str, variant: str) -> str:
    """The id of this captioner's caption of a clip."""
    return f"{clip_id}:{variant}"


def clip_of(caption_id: str) -> str:
    """The clip that a caption is of."""
    return caption_id.rpartition(":")[0]


CLIP_ID = pl.col("caption_id").str.split(":").list.first()
"""The same as an expression, over a column `caption_id`."""
VARIANT = pl.col("caption_id").str.split(":").list.last()
"""The captioner's name."""
