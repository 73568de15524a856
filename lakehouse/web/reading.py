"""Warm tables for the requests: opened once, and again when somebody has committed.

Which questions are asked is the pages' business.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl

from lakehouse.query.opened import Opened
from lakehouse.query.resident import Lookup
from lakehouse.query.sql import lock
from lakehouse.query.tables import FIXED, score_tables
from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import FRAMES, Table
from lakehouse.web.deadline import Deadline
from lakehouse.web.shown import SHOWN_CLIPS

_CONNECTIONS = 4
_MEMORY_MB = 2000
_MOST_KEPT_ROWS = 2_000_000
_KEPT = ("recordings", "clips", "frames", "scores", "captions", "verdicts", "ledger", "shown_clips")
"""Views whose rows are kept in memory, so that a page doesn't wait for files."""

Row = dict[str, Any]


class NotFound(Exception):  # noqa: N818, it is an answer
    """There is no such thing in the lake; the message says what."""


class Refused(Exception):  # noqa: N818, it is an answer
    """What was asked can't be answered; the message says why."""


class Reading:
    """Answers questions over the views of a lake, for several threads at once.

    All see one moment of the lake, which is replaced by the tables of now when one has a new
    version; that is looked at every `web.refresh_s`. Up to two million rows are held in memory,
    without pictures and vectors; a larger lake is asked itself.
    """

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.settings = settings
        self.opened = Opened(lake, settings)
        """For searches."""
        self.lake: Lake = self.opened.lake
        self._deadline = Deadline(settings.web.query_s)
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._idle: list[tuple[int, duckdb.DuckDBPyConnection]] = []
        self._held: tuple[int, duckdb.DuckDBPyConnection] | None = None
        self._datasets: dict[str, Any] = {}
        self._looking = threading.Lock()
        self._lookups: dict[str, Lookup] = {}
        self._generation = 0
        self._looked_at = -float("inf")

    def ask(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query. Raises Refused if it takes longer than `web.query_s`."""
        with self._connection() as connection:
            return self._rows(connection, query, values)

    def dataset(self, table: Table) -> Any:
        """The table, as a LanceDataset, at a version of a moment ago. Raises UserError."""
        self._refresh()
        with self._lock:
            found = self._datasets.get(table.name)
        if found is None:
            found = self.lake.dataset(table)
            with self._lock:
                self._datasets[table.name] = found
        return found

    def rows(self, table: Table, keys: Sequence[str], columns: Sequence[str]) -> list[Row]:
        """Rows of a table by its key, in any order, found without a scan. Raises UserError."""
        dataset = self.dataset(table)
        with self._looking:
            lookup = self._lookups.get(table.name)
            if lookup is None or lookup.version != dataset.version:
                lookup = self._lookups[table.name] = Lookup(dataset, table.key)
        return lookup.rows(pl.Series(keys, dtype=pl.String), list(columns)).to_dicts()

    def warm_up(self) -> None:
        """Do what the first question and the first picture would wait for. Raises UserError."""
        self.ask("SELECT count(*) FROM recordings")
        self.rows(FRAMES, [], ["jpeg"])

    def close(self) -> None:
        """Close what is kept; a later question opens it again."""
        self._deadline.close()
        with self._lock:
            closed, self._idle, self._datasets = self._idle, [], {}
            closed += [self._held] if self._held else []
            self._held, self._looked_at = None, -float("inf")
            self._generation += 1
        self.opened.close()
        for _, connection in closed:
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self._refresh()
        with self._free:
            with self._lock:
                generation = self._generation
                kept = self._idle.pop() if self._idle else None
            if kept is not None and kept[0] != generation:
                kept[1].close()
                kept = None
            generation, connection = kept or self._opened(generation)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append((generation, connection))

    def _opened(self, generation: int) -> tuple[int, duckdb.DuckDBPyConnection]:
        """A connection over the tables of this generation, or of the one before as long as somebody
        else makes this one; and which it is."""
        held = self._held
        if not self._opening.acquire(blocking=held is None) and held is not None:
            return held[0], held[1].cursor()
        try:
            if self._held is None or self._held[0] != generation:
                connection = connect(self.lake, self.settings)
                connection.execute(f"CREATE TEMP VIEW shown_clips AS {SHOWN_CLIPS}")
                if not _hold(connection):
                    return generation, _locked(connection)
                self._held = generation, _locked(connection)
            return generation, self._held[1].cursor()
        finally:
            self._opening.release()

    def _rows(
        self, connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object]
    ) -> list[Row]:
        try:
            with self._deadline.watching(connection.interrupt):
                result = connection.execute(query, values)
                names = [column[0] for column in result.description or ()]
                return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        except duckdb.InterruptException as error:
            allowed_s = self.settings.web.query_s
            raise Refused(f"this took longer than {allowed_s:g} s; ask for less") from error

    def _refresh(self) -> None:
        """Begin a new generation if a table has a newer version. Raises UserError."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at < self.settings.web.refresh_s:
                return
            self._looked_at = now
            known = {name: d for name, d in self._datasets.items() if _is_latest(d)}
        changed = False
        for table in (*FIXED, *score_tables(self.settings).values()):
            if table.name not in known and (table in FIXED or self.lake.exists(table)):
                # Before the views are opened: they are never older than what is watched.
                known[table.name] = self.lake.dataset(table)
                changed = True
        with self._lock:
            self._datasets = known
            self._generation += changed


def _is_latest(dataset: Any) -> bool:
    try:
        return bool(dataset.latest_version == dataset.version)
    except (OSError, ValueError):  # it is gone, or out of reach: opening it again says which
        return False


def _hold(connection: duckdb.DuckDBPyConnection) -> bool:
    """Put the rows of the views into memory, where all cursors see them; whether they fit."""
    counted = "SELECT (SELECT count(*) FROM frames_rows) + (SELECT count(*) FROM clips_rows)"
    if connection.execute(counted).fetchall()[0][0] > _MOST_KEPT_ROWS:
        return False
    for view in _KEPT:
        connection.execute(f"CREATE TABLE memory.main.{view} AS SELECT * FROM temp.main.{view}")
    return True


def _locked(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """What visitors write as SQL reaches nothing else; cores are for other visitors, too."""
    connection.execute("SET threads = 1")
    lock(connection, _MEMORY_MB)
    return connection
