"""A lake opened to be asked: from Python, a notebook, or a server.

It holds what answers share: tables kept open, prepared views, the clips of recent filters. How a
question is answered stands in `views`, `search` and `sql`.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import duckdb
import polars as pl
import pyarrow as pa

from lakehouse.errors import UserError
from lakehouse.query.asked import Filters, Query
from lakehouse.query.eligible import Eligible
from lakehouse.query.eligible import eligible as find_eligible
from lakehouse.query.resident import Lookups, resident
from lakehouse.query.sandbox import VIEWS
from lakehouse.query.search import search_among
from lakehouse.query.sql import read_only
from lakehouse.query.tables import FIXED, all_tables
from lakehouse.query.views import connect
from lakehouse.settings import SETTINGS_VARIABLE, Settings, load_settings
from lakehouse.tables.lake import Lake, open_lake

_FILTERS_KEPT = 8


@dataclass
class _Moment:
    """What was prepared of the tables' versions, for as long as they are the latest.

    A connection serves one thread at a time, so relations, which the caller reads when it likes,
    have another than searches, which take turns in theirs.
    """

    versions: tuple[int, ...]
    lake: Lake
    settings: Settings
    eligible: OrderedDict[Filters, Eligible] = field(default_factory=OrderedDict)
    searching: Lock = field(default_factory=Lock)

    @cached_property
    def of_relations(self) -> duckdb.DuckDBPyConnection:
        return self._connected()

    @cached_property
    def of_searches(self) -> duckdb.DuckDBPyConnection:
        return self._connected()

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = connect(self.lake, self.settings)
        connection.execute(f"SET memory_limit = '{self.settings.query.memory_mb}MB'")
        return connection


class Opened:
    """A lake whose answers are always of the latest rows. Views are attributes: `opened.clips`.

    `search` and `read_only` may be called by several threads at once, also while another reads
    relations; those belong to one thread.
    """

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.lake, self.settings = resident(lake), settings
        self._lookups = Lookups(self.lake, keep=True)
        self._latest: _Moment | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Relations that it gave end with it."""
        with self._lock:
            latest, self._latest = self._latest, None
        for kept in ("of_relations", "of_searches"):
            if latest is not None and kept in vars(latest):
                getattr(latest, kept).close()

    def sql(self, query: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """A relation over the views: it is computed when it is read, and can be queried further.

        For the caller's own SQL, which DuckDB trusts; a stranger's is for `read_only`.
        """
        relation = self.connection().sql(query, params=params)
        if relation is None:
            raise UserError("a query gives rows; this is another statement")
        return relation

    def read_only(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of a stranger's SQL, within its limits: see `query.sql`."""
        with connect(self.lake, self.settings) as connection:
            return read_only(connection, query, self.settings.query)

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """A view as a relation. Raises UserError for a name that isn't one of them."""
        return self.connection().table(_view(name))

    def __getattr__(self, name: str) -> duckdb.DuckDBPyRelation:
        if name not in VIEWS:
            raise AttributeError(f"there is no view {name}; there are {', '.join(sorted(VIEWS))}")
        return self.table(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *VIEWS]

    def arrow(
        self, name: str, columns: Sequence[str] | None = None, where: str | None = None
    ) -> pa.Table:
        """Rows of a view. Columns and conditions reach Lance: what isn't asked for isn't read."""
        relation = self.table(name)
        if where:
            relation = relation.filter(where)
        if columns is not None:
            relation = relation.project(", ".join(map(_quoted, columns)))
        return relation.to_arrow_table()

    def polars(
        self, name: str, columns: Sequence[str] | None = None, where: str | None = None
    ) -> pl.DataFrame:
        """The same as a frame of Polars, which shares the memory of Arrow's."""
        frame = pl.from_arrow(self.arrow(name, columns, where))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def search(
        self, query: Query | str, filters: Filters | None = None, limit: int = 10
    ) -> pl.DataFrame:
        """See `query.search.search`. The clips of recent filters are kept until a table changes."""
        asked = Query(text=query) if isinstance(query, str) else query
        among = self.eligible(filters or Filters())
        return search_among(self.lake, self.settings, asked, among, limit, self._lookups)

    def connection(self) -> duckdb.DuckDBPyConnection:
        """All views, over the latest rows; prepared again only if a table has changed. Belongs to
        one thread."""
        return self._moment().of_relations

    def eligible(self, filters: Filters) -> Eligible:
        """The clips of these filters, kept for as long as no table changes."""
        moment = self._moment()
        if (known := self._known(moment, filters)) is not None:
            return known
        with moment.searching:
            # Somebody else may just have asked for them.
            if (known := self._known(moment, filters)) is not None:
                return known
            found = find_eligible(moment.of_searches, filters, self.settings.query)
            with self._lock:
                moment.eligible[filters] = found
                if len(moment.eligible) > _FILTERS_KEPT:
                    moment.eligible.popitem(last=False)
            return found

    def _known(self, moment: _Moment, filters: Filters) -> Eligible | None:
        with self._lock:
            if filters in moment.eligible:
                moment.eligible.move_to_end(filters)
            return moment.eligible.get(filters)

    def _moment(self) -> _Moment:
        versions = self._seen()
        with self._lock:
            # The one before isn't closed: somebody may still read a relation of it.
            if self._latest is None or self._latest.versions != versions:
                self._latest = _Moment(versions, self.lake, self.settings)
            return self._latest

    def _seen(self) -> tuple[int, ...]:
        others = (table for table in all_tables(self.settings) if table not in FIXED)
        there = (table for table in others if self.lake.exists(table))
        return tuple(self.lake.dataset(table).version for table in (*FIXED, *there))


def open_(settings: str | os.PathLike[str] | Settings | None = None, **overrides: Any) -> Opened:
    """The lake that a settings file names (by default as for the command line: `lakehouse.toml`
    here, and the environment), or `Settings`; single settings can be given by name, such as
    `lake="/data/lake"`.

    Raises UserError for settings that are wrong. That there are tables is asked only later.
    """
    if isinstance(settings, Settings):
        loaded = settings.model_copy(update=overrides)
    elif settings is None:
        loaded = load_settings(**overrides)
    else:
        loaded = _from_file(Path(settings), overrides)
    return Opened(open_lake(loaded), loaded)


def _from_file(file: Path, overrides: dict[str, Any]) -> Settings:
    before = os.environ.get(SETTINGS_VARIABLE)
    os.environ[SETTINGS_VARIABLE] = str(file)
    try:
        return load_settings(**overrides)
    finally:
        if before is None:
            del os.environ[SETTINGS_VARIABLE]
        else:
            os.environ[SETTINGS_VARIABLE] = before


def _view(name: str) -> str:
    if name not in VIEWS:
        raise UserError(f"there is no view {name}; there are {', '.join(sorted(VIEWS))}")
    return name


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
