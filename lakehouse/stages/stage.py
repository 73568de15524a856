"""What every stage is: a name, a version, and a function from parents to their rows.

Planning, committing and counting are the same for all stages and live in `engine.local`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from lakehouse.storage.bucket import ObjectNotFound
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import Table
from lakehouse.video.probe import ProbeError


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


class Stage(Protocol):
    """A step of the chain, bound to its lake and settings.

    `version` changes with anything that changes what the stage makes: its code and its settings.
    `table` is the one that the plan reads; it is written after the `side_tables`, so that a parent
    whose rows are in it is complete.
    """

    @property
    def name(self) -> str:
        """Unique among the stages of a lake, `captions:zh` for a variant."""
        ...

    @property
    def version(self) -> str:
        """Readable, short, equal for equal behaviour."""
        ...

    @property
    def table(self) -> Table:
        """The table that tells which parents are done."""
        ...

    @property
    def side_tables(self) -> tuple[Table, ...]:
        """Tables written before `table`."""
        ...

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The parents of a partition, in the columns of `plan.PARENTS`."""
        ...

    def children(self, partition: Partition) -> pl.DataFrame:
        """The rows that exist, in the columns of `plan.CHILDREN`."""
        ...

    def make(self, partition: Partition, parent_ids: Sequence[str]) -> Iterator[Made]:
        """The rows of each of these parents, as they are ready, in any order.

        What is wrong with one parent is an error in its rows. Raises UserError only where nothing
        more can be made, such as an unreachable service.
        """
        ...


def version_of(code: int, settings_hash: str) -> str:
    """The version of a stage: a number raised by hand with the code, and its settings' hash."""
    return f"{code}-{settings_hash[:10]}"


def what_is_wrong(problem: Exception) -> str:
    """An exception as the error of a row: our own and the system's as they are, all others, which
    nobody foresaw, with their kind."""
    foreseen = isinstance(problem, ProbeError | ObjectNotFound | OSError)
    return str(problem) if foreseen else f"{type(problem).__name__}: {problem}"
