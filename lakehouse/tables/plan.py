"""Which rows of a stage need work: an anti-join of parents with children.

The plan reads keys and fingerprints only. Doing the work is `engine`; writing it, `commit`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

PARENTS = {"parent_id": pl.String, "fingerprint": pl.String, "wanted": pl.Boolean}
"""Columns of the parents: `fingerprint` is of what the children should be made from today, and
`wanted` false where no child is to be made (a clip that does not pass has no caption)."""

CHILDREN = {"parent_id": pl.String, "fingerprint": pl.String, "failed": pl.Boolean}
"""Columns of the children that exist; a parent may have several rows of equal fingerprint."""


def parents_frame(rows: Iterable[tuple[str, str, bool]]) -> pl.DataFrame:
    """Parents from their ids, fingerprints and whether they are wanted."""
    return pl.DataFrame(list(rows), schema=PARENTS, orient="row")


@dataclass(frozen=True)
class Plan:
    """Parent ids by what their children need, each parent in one list at most.

    `new` has no children, `stale` has children made from something else, `failed` has current
    children of which one holds an error, `orphaned` has children without being a (wanted and
    current) parent, `current` needs nothing.
    """

    new: tuple[str, ...]
    stale: tuple[str, ...]
    failed: tuple[str, ...]
    orphaned: tuple[str, ...]
    current: tuple[str, ...]

    def work(self, *, retry_failed: bool) -> tuple[str, ...]:
        """The parents whose children are to be computed."""
        return self.new + self.stale + (self.failed if retry_failed else ())

    def is_empty(self, *, retry_failed: bool) -> bool:
        """Whether nothing is to be computed or removed."""
        return not self.orphaned and not self.work(retry_failed=retry_failed)


def make_plan(parents: pl.DataFrame, children: pl.DataFrame) -> Plan:
    """The plan for frames of the columns `PARENTS` and `CHILDREN`."""
    made = children.group_by("parent_id").agg(
        pl.col("fingerprint").unique().alias("made_from"), pl.col("failed").any()
    )
    joined = parents.join(made, on="parent_id", how="left").with_columns(
        exists=pl.col("made_from").is_not_null(),
        current=(pl.col("made_from").list.len() == 1)
        & (pl.col("made_from").list.first() == pl.col("fingerprint")),
    )
    wanted, exists, current, failed = (pl.col(n) for n in ("wanted", "exists", "current", "failed"))
    without_parent = made.join(parents, on="parent_id", how="anti")

    def ids(condition: pl.Expr) -> tuple[str, ...]:
        return tuple(joined.filter(condition).get_column("parent_id").sort())

    return Plan(
        new=ids(wanted & ~exists),
        stale=ids(wanted & exists & ~current),
        failed=ids(wanted & exists & current & failed),
        orphaned=tuple(without_parent.get_column("parent_id").sort())
        + ids(~wanted & exists & ~current),
        current=ids(exists & current & ~(wanted & failed)),
    )
