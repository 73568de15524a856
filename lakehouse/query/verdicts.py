"""The verdict of a clip: whether it passes, and why not, by today's thresholds.

A query over stored scores, never stored itself: a changed threshold needs nothing recomputed.
"""

from collections.abc import Mapping

import duckdb
import polars as pl

from lakehouse.settings import ScorerSettings, Thresholds

_UNLIT = "darkness_p50 > {max_darkness}"
_WASHED_OUT = "over_exposed_p50 > {max_over_exposed}"
_SEEN = f"NOT ({_UNLIT}) AND NOT ({_WASHED_OUT})"

RULES = {
    "unmeasured": "darkness_p50 IS NULL",
    "dark": _UNLIT,
    "over_exposed": _WASHED_OUT,
    "blurred": f"sharpness_p50 < {{min_sharpness}} AND {_SEEN}",
    "noisy": f"noise_p50 > {{max_noise}} AND {_SEEN}",
    "still": f"stillness > {{max_stillness}} AND {_SEEN}",
    "empty": f"texture_p50 < {{min_texture}} AND {_SEEN}",
}
"""Reason and condition, in SQL over the columns of `scores`. Where nothing can be seen, only that
is the reason: a black picture is neither blurred nor still. A clip that lies between two samples
is unmeasured; a single sample measures all but the motion, and nobody knows that it is still."""


def verdicts_sql(
    thresholds: Thresholds, scorers: Mapping[str, ScorerSettings] | None = None
) -> str:
    """A query with the columns clip_id, recording_id, day, camera, passed and reasons, over a
    relation `scores` that has a column for each scorer.

    A clip without a score of a model is not rejected for it: what was measured has rejected it
    already, or its scorer says in its row what is wrong.
    """
    levels = thresholds.model_dump()
    rules = {reason: rule.format(**levels) for reason, rule in RULES.items()}
    for name, scorer in (scorers or {}).items():
        if scorer.min_score is not None:
            rules[f"low_{name}"] = f"{name} < {scorer.min_score}"
        if scorer.max_score is not None:
            rules[f"high_{name}"] = f"{name} > {scorer.max_score}"
    reasons = ", ".join(f"CASE WHEN {rule} THEN '{reason}' END" for reason, rule in rules.items())
    return f"""
        SELECT clip_id, recording_id, day, camera, len(reasons) = 0 AS passed, reasons
        FROM (
            SELECT *, list_filter([{reasons}], lambda reason: reason IS NOT NULL) AS reasons
            FROM scores
        )
    """


def judge(
    scores: pl.DataFrame,
    thresholds: Thresholds,
    scorers: Mapping[str, ScorerSettings] | None = None,
) -> pl.DataFrame:
    """The verdicts of these rows of `scores`, by the same query."""
    with duckdb.connect(":memory:") as connection:
        connection.register("scores", scores.to_arrow())
        return connection.sql(verdicts_sql(thresholds, scorers)).pl()
