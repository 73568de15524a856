"""Who owns assets, what makes them stale or late, and what is then requested."""

from datetime import timedelta

import dagster as dg

from lakehouse.settings import load_settings
from lakehouse.stages.chain import versions_of
from lakehouse.stages.clips import profiles_version

OWNERS = list(load_settings().owners)
"""Of every asset."""
FRESH_DAILY = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)
)
"""For the first and the last of the chain: robots walk every day, and a day without new footage is
a bucket that nobody uploads to, or an ingest that stands. It looks at the latest materialization of
any partition, and so says nothing of a single camera."""
RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)

_CHANGED = dg.AutomationCondition.any_deps_updated() | (
    dg.AutomationCondition.code_version_changed() & ~dg.AutomationCondition.missing()
)

ON_CHANGE = (
    _CHANGED.since_last_handled()  # type: ignore[misc]  # declared for checks too, as it is
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
"""Requests the partitions that exist, and only those, of an asset whose code version or parents
changed. `eager` and its kin look at the latest day only, so footage that comes late would never
get through."""

ON_ANY_CHANGE = (
    (
        dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
        | (
            dg.AutomationCondition.code_version_changed()
            & ~dg.AutomationCondition.missing()
            & ~dg.AutomationCondition.initial_evaluation()
        )
    ).since_last_handled()  # type: ignore[misc]  # as above
    & ~dg.AutomationCondition.in_progress()
)
"""For what is made of many partitions: as soon as any of them changed, whether or not the others
are there or at work."""


def code_version(family: str) -> str:
    """The versions of a family's stages as one: a changed prompt shows its partitions as stale.

    Profiles are no part of a stage's version, since they count camera by camera, but a change of
    them has to be looked at too.
    """
    settings = load_settings()
    profiles = [profiles_version(settings.clips)] if family == "clips" else []
    return " ".join([*versions_of(family, settings), *profiles])
