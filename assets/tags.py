"""Run tags that the command line and people set on a run."""

import dagster as dg

from lakehouse.engine.retry import Retry
from lakehouse.errors import UserError

RETRY = "lakehouse/retry"
"""Makes a run try again what failed before: an `engine.retry.Retry` as JSON, `{}` for all of it."""


def retry_of(context: dg.AssetExecutionContext) -> Retry | None:
    """What this run tries again. Raises UserError for a tag that can't be read."""
    tag = context.run.tags.get(RETRY)
    if tag is None:
        return None
    try:
        return Retry.from_json(tag)
    except (ValueError, TypeError) as error:
        raise UserError(f"the tag {RETRY} is no filter: {error}; {{}} retries all") from error
