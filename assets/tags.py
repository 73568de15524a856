"""Run tags that the command line and people set on a run."""

import dagster as dg

RETRY_FAILED = "lakehouse/retry_failed"
"""`true` makes a run try again what failed before."""


def retries_failed(context: dg.AssetExecutionContext) -> bool:
    """Whether this run tries failed rows again."""
    return context.run.tags.get(RETRY_FAILED) == "true"
