"""A lake whose tables stay open: for whoever asks many questions, such as a server.

Opening a table costs more than most questions. Here each is opened once; a newer version of it is
noticed by one look at the store, and opened with the caches of the one before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import lance
import numpy as np
import polars as pl

from lakehouse.tables.lake import Lake, among
from lakehouse.tables.patience import patiently
from lakehouse.tables.schemas import Table

ROW_ID = "_rowid"
ETAG = "etag"

_WORTH_IT = 4  # questions to one version of a table


@dataclass(frozen=True)
class ResidentLake(Lake):
    """A `Lake` that keeps what it opened. May be used by several threads."""

    _opened: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def dataset(self, table: Table) -> Any:
        """See `Lake.dataset`: always the latest version, opened again only if it is another."""
        known = self._opened.get(table.name)
        if known is None:
            newest = super().dataset(table)
        else:
            try:
                if known.latest_version == known.version:
                    return known
                newest = patiently(
                    lambda: lance.dataset(
                        self.uri(table),
                        storage_options=self.storage_options or None,
                        session=known.session(),
                    )
                )
            except (OSError, ValueError):  # such as a table that was removed: say so in its words
                newest = super().dataset(table)
        self._opened[table.name] = newest
        return newest


def resident(lake: Lake) -> ResidentLake:
    """The same lake, its tables kept open."""
    if isinstance(lake, ResidentLake):
        return lake
    return ResidentLake(lake.url, lake.storage_options, lake.s3)


class Lookup:
    """Rows of one version of a table by their keys, without an index: where each key lies is kept
    in memory, some 50 bytes a row, and once hits are to be named, their etags and row ids."""

    def __init__(self, dataset: Any, key: str) -> None:
        self.version = dataset.version
        self._dataset, self._key = dataset, key
        found = pl.DataFrame(dataset.to_table(columns=[key])).get_column(key)
        self._positions = found.arg_sort()
        self._keys = found.gather(self._positions)

    def rows(self, keys: pl.Series, columns: list[str]) -> pl.DataFrame:
        """The rows that there are, with their keys, in any order."""
        at = positions(self._keys, keys.drop_nulls().unique())
        if len(at):
            taken = self._dataset.take(self._positions.gather(at).to_list(), columns=columns)
        else:
            taken = self._dataset.schema.empty_table().select(columns)
        return pl.DataFrame([self._keys.gather(at), *pl.DataFrame(taken)])

    def named(self, found: pl.DataFrame) -> pl.DataFrame:
        """Rows of a scan of this version, with their key and etag for the `_rowid` they had."""
        by_row_id = self._by_row_id
        at = by_row_id.get_column(ROW_ID).search_sorted(found.get_column(ROW_ID))
        places, etags = (by_row_id.get_column(name).gather(at) for name in ("place", ETAG))
        named = self._keys.gather(places), etags.cast(pl.String)
        return found.drop(ROW_ID).with_columns(*named)

    @cached_property
    def _by_row_id(self) -> pl.DataFrame:
        """Of each row its place among the keys, and its etag, in the order of row ids."""
        found = pl.DataFrame(self._dataset.to_table(columns=[ETAG], with_row_id=True))
        by_key = found[self._positions].with_row_index("place")
        # Many rows are of few objects.
        return by_key.with_columns(pl.col(ETAG).cast(pl.Categorical)).sort(ROW_ID)


class Lookups:
    """Rows of tables by their keys. May be used by several threads.

    A version of a table that is asked often enough gets a `Lookup`; until then its keys are read
    through, which takes longer than to look one up, and less than to make it. Without `keep`, none
    is ever made.
    """

    def __init__(self, lake: Lake, *, keep: bool = False) -> None:
        self._lake, self._keep = lake, keep
        self._made = dict[str, Lookup]()
        self._asked = dict[str, tuple[int, int]]()  # a version, and how often
        self._lock = Lock()

    def rows(self, table: Table, keys: pl.Series, columns: list[str]) -> pl.DataFrame:
        """The rows that there are, with their keys, in any order."""
        dataset = self._lake.dataset(table)
        with self._lock:
            made = self._made.get(table.name)
            if made is None or made.version != dataset.version:
                made = self._make_if_worth_it(table, dataset)
        if made is not None:
            return made.rows(keys, columns)
        wanted = among(table.key, keys.drop_nulls())
        return pl.DataFrame(dataset.to_table(columns=[table.key, *columns], filter=wanted))

    def scanned(self, table: Table, scan: Callable[[Any, list[str]], Any]) -> pl.DataFrame:
        """The rows that `scan` finds, with their keys and etags. It is given the table's dataset
        and which columns tell rows apart: reading texts takes longer than many a search."""

        def named(dataset: Any) -> pl.DataFrame:
            made = self._made.get(table.name)
            if made is None or made.version != dataset.version:
                return pl.DataFrame(scan(dataset, [table.key, ETAG]))
            return made.named(pl.DataFrame(scan(dataset, [ROW_ID])))

        return self._lake.on(table, named)

    def _make_if_worth_it(self, table: Table, dataset: Any) -> Lookup | None:
        version, times = self._asked.get(table.name, (dataset.version, 0))
        times = times + 1 if version == dataset.version else 1
        self._asked[table.name] = dataset.version, times
        if not self._keep or times < _WORTH_IT:
            return None
        self._made[table.name] = Lookup(dataset, table.key)
        return self._made[table.name]


def positions(keys: pl.Series, wanted: pl.Series) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Where those of `wanted` stand that are among the sorted `keys`."""
    at = places(keys, wanted)
    return at[at >= 0]


def places(keys: pl.Series, wanted: pl.Series) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Where each of `wanted` stands among the sorted `keys`; -1 where it doesn't."""
    if not len(keys) or not len(wanted):
        return np.full(len(wanted), -1, np.int64)
    at = keys.search_sorted(wanted).to_numpy().astype(np.int64)
    at = np.minimum(at, len(keys) - 1)
    return np.where((keys.gather(at) == wanted).to_numpy(), at, -1)
