"""What every stage is: a name, a version, and a function from parents to their rows.

Planning, committing and counting are the same for all stages and live in `engine.local`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from lakehouse.engine.workers import TaskFailed, WorkerLost
from lakehouse.storage.bucket import ObjectNotFound
from lakehouse.tables.commit import remove_children
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import PROVENANCE, RECORDINGS, Table
from lakehouse.video.probe import ProbeError

_OF_ITS_MAKING = frozenset(field.name for field in PROVENANCE) - {"content_hash"}


@dataclass(frozen=True)
class Made:
    """All rows of one parent, by table name and without provenance.

    `footage_s` is how much footage they are about; `error` the first error among them. Of a
    parent with many rows, some may come before, in parts that are not complete: those hold rows
    of side tables only, and nothing to count.
    """

    parent_id: str
    rows: Mapping[str, Sequence[dict[str, Any]]]
    footage_s: float = 0.0
    error: str | None = None
    units: Mapping[str, float] = field(default_factory=dict)
    """Other costs that add up over a run, such as tokens."""
    is_complete: bool = True
    reused: bool = False
    """Whether the rows were copied from those of the same content under another key."""


class Stage(Protocol):
    """A step of the chain, bound to its lake and settings.

    `version` changes with anything that changes what the stage makes: its code and its settings.
    `table` is the one that the plan reads; it is written after the `side_tables`, so that a parent
    whose rows are in it is complete.
    """

    @property
    def lake(self) -> Lake:
        """Where its rows lie."""
        ...

    @property
    def name(self) -> str:
        """Unique among the stages of a lake, `captions:zh` for a variant."""
        ...

    @property
    def version(self) -> str:
        """Readable, short, equal for equal behaviour."""
        ...

    @property
    def is_dear(self) -> bool:
        """Whether a parent takes so long that none that is complete may be lost."""
        ...

    @property
    def table(self) -> Table:
        """The table that tells which parents are done."""
        ...

    @property
    def side_tables(self) -> tuple[Table, ...]:
        """Tables written before `table`; their rows have a `clip_id`, and count only beside the
        row of `table` that has the same one and the same fingerprint."""
        ...

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The parents of a partition, in the columns of `plan.PARENTS`."""
        ...

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """Of every parent as it is at this moment, by its id: what was made of another one since
        a plan was made must not be written."""
        ...

    def children(self, partition: Partition) -> pl.DataFrame:
        """The rows that exist, in the columns of `plan.CHILDREN`."""
        ...

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Deal with the rows of parents that are no longer there."""
        ...

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """The rows of each of these parents, as they are ready, in any order.

        `wanted` holds the fingerprint of each parent, as it was planned. A parent that turns out
        to be another one by now is left out, for the next run. What is wrong with one parent is
        an error in its rows. Raises UserError only where nothing more can be made, such as an
        unreachable service.
        """
        ...


def version_of(code: int, settings_hash: str) -> str:
    """The version of a stage: a number raised by hand with the code, and its settings' hash."""
    return f"{code}-{settings_hash[:10]}"


def of_present_footage(lake: Lake, partition: Partition, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, by their `recording_id`, but for those of objects that are gone from the bucket:
    they are history, and nothing is made or removed for them."""
    gone = lake.read(RECORDINGS, partition, ["recording_id"], "gone_since IS NOT NULL")
    return rows.join(gone, on="recording_id", how="anti")


def fingerprints_of(parents: pl.DataFrame) -> dict[str, str]:
    """The fingerprint of each parent by its id."""
    return dict(parents.select("parent_id", "fingerprint").iter_rows())


def remove_rows(stage: Stage, parent_ids: Sequence[str]) -> None:
    """Remove all rows of these parents; those that a reader looks for first go first."""
    for table in (stage.table, *stage.side_tables):
        remove_children(stage.lake, table, parent_ids)


def without_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as a stage makes it, to be written anew for another parent; with the hash of what is
    in it, which stays the same."""
    return {name: value for name, value in row.items() if name not in _OF_ITS_MAKING}


def what_is_wrong(problem: Exception) -> str:
    """An exception as the error of a row: our own and the system's as they are, all others, which
    nobody foresaw, with their kind."""
    foreseen = isinstance(problem, ProbeError | ObjectNotFound | OSError | WorkerLost | TaskFailed)
    return str(problem) if foreseen else f"{type(problem).__name__}: {problem}"
