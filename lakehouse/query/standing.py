"""How a partition stands: where its seconds went, what its work took so far, and a picture of it.

For who shows that step by step, though most steps change nothing of it. What is counted stands in
`daily_report`, the picture in `contact_sheet`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse.query.contact_sheet import contact_sheet
from lakehouse.query.daily_report import Account, account
from lakehouse.query.resident import resident
from lakehouse.query.tables import score_tables
from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.patience import patiently
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, RUNS, SCORES

_SPENT = ("footage_s", "wall_s", "tokens", "model_s", "tokens_saved", "model_s_saved")


@dataclass(frozen=True)
class Standing:
    """How a partition stands; `sheet` is a JPEG, none where there is no picture."""

    account: Account
    sheet: bytes | None


class Standings:
    """How partitions of a lake stand. The last answer is kept for as long as no table changes that
    it was made of. For one thread at a time."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake, self._settings = resident(lake), settings
        self._tables = (RECORDINGS, CLIPS, FRAMES, SCORES, *score_tables(settings).values())
        self._known: tuple[Partition, tuple[int, ...], Standing] | None = None

    def of(self, partition: Partition) -> Standing:
        """How this partition stands now."""
        # Before it is asked: what is written meanwhile makes the answer old, not wrong.
        versions = self._versions()
        if self._known is None or self._known[:2] != (partition, versions):
            self._known = partition, versions, patiently(lambda: self._asked(partition))
        return self._known[2]

    def _asked(self, partition: Partition) -> Standing:
        with connect(self._lake, self._settings) as connection:
            of = account(connection, partition)
        return Standing(of, contact_sheet(self._lake, partition))

    def _versions(self) -> tuple[int, ...]:
        there = (table for table in self._tables if self._lake.exists(table))
        return tuple(self._lake.dataset(table).version for table in there)


def spent_on(lake: Lake, partition: Partition, stages: Iterable[str]) -> Mapping[str, Any]:
    """What all runs of these stages over a partition took so far: footage_s and wall_s, tokens,
    model_s and what of both was saved. Of stages that never had anything to do, all is 0."""
    runs = lake.read(RUNS, partition, ["stage", *_SPENT])
    return runs.filter(pl.col("stage").is_in(list(stages))).select(_SPENT).sum().row(0, named=True)
