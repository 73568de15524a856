"""Which rows of a stage need work: an anti-join of parents with children.

The plan reads keys and fingerprints only. Doing the work is `engine`; writing it, `commit`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import polars as pl

PARENTS = {
    "parent_id": pl.String,
    "recording_id": pl.String,
    "fingerprint": pl.String,
    "wanted": pl.Boolean,
    "waits": pl.Boolean,
}
"""Columns of the parents: `fingerprint` is of what the children should be made from today;
`wanted` is false where no child is to be made (a clip that does not pass has no caption), and
`waits` true where nothing is to be done yet (a file that is still being written)."""

CHILDREN = {
    "parent_id": pl.String,
    "recording_id": pl.String,
    "fingerprint": pl.String,
    "error": pl.String,
    "attempts": pl.Int32,
}
"""Columns of the children that exist; a parent may have several rows of equal fingerprint."""


def parents_frame(rows: Iterable[tuple[str, str, str, bool]]) -> pl.DataFrame:
    """Parents from their ids, recordings, fingerprints and whether they are wanted; none waits."""
    every = [(*row, False) for row in rows]
    return pl.DataFrame(every, schema=PARENTS, orient="row")


@dataclass(frozen=True)
class Plan:
    """Parent ids by what their children need, each parent in one list.

    `new` has no children, `stale` has children made from something else, `retried` has children
    with an error and is tried again, `failed` isn't, and `given_up` was tried too often;
    `orphaned` has children without being a (wanted and current) parent, `waiting` can't be made
    yet, `current` needs nothing.
    """

    new: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    current: tuple[str, ...] = ()

    @property
    def work(self) -> tuple[str, ...]:
        """The parents whose children are to be computed."""
        return self.new + self.stale + self.retried

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be computed or removed."""
        return not self.orphaned and not self.work

    def counts(self) -> dict[str, int]:
        """How many parents each list holds."""
        return {of.name: len(getattr(self, of.name)) for of in fields(self)}


@dataclass(frozen=True)
class Failed:
    """A parent with current children of which one holds an error."""

    parent_id: str
    recording_id: str
    error: str
    attempts: int


def make_plan(
    parents: pl.DataFrame,
    children: pl.DataFrame,
    is_retried: Callable[[Failed], bool] = lambda _: False,
    max_attempts: int = 1,
) -> Plan:
    """The plan for frames of the columns `PARENTS` and `CHILDREN`; `is_retried` chooses among the
    parents that failed."""
    made = children.group_by("parent_id").agg(
        pl.col("fingerprint").unique().alias("made_from"),
        pl.col("error").drop_nulls().first(),
        pl.col("attempts").max(),
    )
    joined = parents.join(made, on="parent_id", how="left").with_columns(
        exists=pl.col("made_from").is_not_null(),
        current=(pl.col("made_from").list.len() == 1)
        & (pl.col("made_from").list.first() == pl.col("fingerprint")),
    )
    due = joined.filter(~pl.col("waits"))
    wanted, exists, current = (pl.col(name) for name in ("wanted", "exists", "current"))
    broken = wanted & exists & current & pl.col("error").is_not_null()
    retried: list[str] = []
    failed: list[str] = []
    given_up: list[str] = []
    for row in due.filter(broken).sort("parent_id").iter_rows(named=True):
        found = Failed(**{of.name: row[of.name] for of in fields(Failed)})
        if is_retried(found):
            retried.append(found.parent_id)
        else:
            (given_up if found.attempts >= max_attempts else failed).append(found.parent_id)
    without_parent = made.join(parents, on="parent_id", how="anti")

    def ids(condition: pl.Expr) -> tuple[str, ...]:
        return tuple(due.filter(condition).get_column("parent_id").sort())

    return Plan(
        new=ids(wanted & ~exists),
        stale=ids(wanted & exists & ~current),
        retried=tuple(retried),
        failed=tuple(failed),
        given_up=tuple(given_up),
        orphaned=tuple(without_parent.get_column("parent_id").sort())
        + ids(~wanted & exists & ~current),
        waiting=tuple(joined.filter("waits").get_column("parent_id").sort()),
        current=ids(exists & current & ~broken),
    )
