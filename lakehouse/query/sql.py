"""Running somebody's SQL over the views: one statement that reads, and nothing else."""

from typing import Any

import duckdb

from lakehouse.errors import UserError

_READS = {
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
}


def read_only(
    connection: duckdb.DuckDBPyConnection, query: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one SELECT (or DESCRIBE, SHOW, EXPLAIN) statement.

    The connection is locked first: from then on it reaches no file and no network. Raises
    UserError for SQL that DuckDB refuses, and for statements that change something.
    """
    if not connection.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1:
            raise UserError(f"one SQL statement at a time; this is {len(statements)}")
        if statements[0].type not in _READS:
            raise UserError("the lake is read-only for SQL; write a SELECT")
        result = connection.execute(statements[0])
        names = [column[0] for column in result.description or ()]
        return names, result.fetchall()
    except duckdb.Error as error:
        raise UserError(f"SQL: {_first_line(error)}") from error


def _first_line(error: duckdb.Error) -> str:
    """DuckDB's message with its hint, without the drawing of where the error is."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("LINE", "^")))
