"""Running somebody's SQL over the views: one statement that reads, within its limits.

What a statement may say is `sandbox`; the form in which an answer is written is `answers`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.errors import UserError
from lakehouse.query.sandbox import VIEWS, check
from lakehouse.settings import QuerySettings

_BATCH_ROWS = 10_000


class Answer:
    """What a query found: the names of its columns, and its rows, to be read once."""

    def __init__(self, result: duckdb.DuckDBPyConnection) -> None:
        self._result = result
        self.names = [str(column[0]) for column in result.description or ()]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """As Python's values."""
        while batch := self._result.fetchmany(_BATCH_ROWS):
            yield from batch

    def batches(self) -> pa.RecordBatchReader:
        """As Arrow's, without holding all of them."""
        return self._result.to_arrow_reader(_BATCH_ROWS)


@contextmanager
def answering(
    connection: duckdb.DuckDBPyConnection, query: str, limits: QuerySettings
) -> Iterator[Answer]:
    """The answer to one SELECT (or DESCRIBE, SHOW TABLES, SUMMARIZE, EXPLAIN), while it is read.

    The connection is locked first: from then on it reaches no file, no network and no variable of
    Python's. Raises UserError for SQL that DuckDB refuses, for what does more than read views, and
    for an answer that takes more time or memory than the limits allow.
    """
    if not connection.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]:
        lock(connection, limits.memory_mb)
    with bounded(connection, limits):
        if check(connection, query):
            query = "SELECT unnest(['" + "', '".join(sorted(VIEWS)) + "']) AS name"
        yield Answer(connection.execute(query))


@contextmanager
def bounded(connection: duckdb.DuckDBPyConnection, limits: QuerySettings) -> Iterator[None]:
    """Stops what the connection does when its time is over. Raises UserError then, and for all that
    DuckDB refuses."""
    stop = Timer(limits.timeout_s, connection.interrupt)
    stop.daemon = True
    stop.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise UserError(
            f"SQL: no answer within {limits.timeout_s:g} seconds; narrow it by day or camera, "
            "or raise query.timeout_s"
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"SQL: the answer needs more than {limits.memory_mb} MB; narrow it by day or camera, "
            "or raise query.memory_mb"
        ) from error
    except duckdb.Error as error:
        raise UserError(f"SQL: {_first_line(error)}") from error
    finally:
        stop.cancel()


def read_only(
    connection: duckdb.DuckDBPyConnection, query: str, limits: QuerySettings | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of the answer; see `answering`. Raises UserError also for more rows
    than may be shown."""
    limits = limits or QuerySettings()
    with answering(connection, query, limits) as answer:
        return answer.names, shown_rows(answer, limits)


def shown_rows(answer: Answer, limits: QuerySettings) -> list[tuple[Any, ...]]:
    """All rows of the answer. Raises UserError for more than may be shown."""
    rows = []
    for row in answer.rows():
        rows.append(row)
        if len(rows) > limits.answer_rows:
            raise UserError(
                f"the answer has more than {limits.answer_rows} rows; add a LIMIT, or write it "
                "into a file with --out"
            )
    return rows


def lock(connection: duckdb.DuckDBPyConnection, memory_mb: int) -> None:
    """From now on SQL on this connection reaches no file, no network and no variable of Python's,
    takes no more memory than this, and can't change that."""
    for setting in (
        f"memory_limit = '{memory_mb}MB'",
        "temp_directory = ''",  # or a large query would fill the disk
        "python_enable_replacements = false",
        "python_scan_all_frames = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _first_line(error: duckdb.Error) -> str:
    """DuckDB's message with its hint, without the drawing of where the error is."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("LINE", "^")))
