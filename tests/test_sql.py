"""Somebody's SQL: what reads is answered, all else is refused in one line."""

import duckdb
import polars as pl
import pytest

from lakehouse.errors import UserError
from lakehouse.query.sql import read_only


@pytest.mark.parametrize(
    "query",
    [
        "SELECT clip_id FROM clips",
        "WITH kept AS (SELECT * FROM clips WHERE status = 'kept') SELECT count(*) FROM kept",
        "FROM ledger",
        "DESCRIBE clips",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM clips",
        "SUMMARIZE scores",
        "SELECT * FROM recordings -- with a comment",
        "SELECT 1;",
    ],
)
def test_what_reads_is_answered(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    names, rows = read_only(connection, query)
    assert names
    assert rows
    assert all(len(row) == len(names) for row in rows)


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO clips SELECT * FROM clips",
        "UPDATE clips SET status = 'kept'",
        "DELETE FROM clips",
        "CREATE TABLE mine (a INTEGER)",
        "CREATE OR REPLACE TEMP VIEW clips AS SELECT 1",
        "DROP VIEW clips",
        "COPY clips TO 'clips.csv'",
        "EXPORT DATABASE 'everything'",
        "ATTACH 'other.db'",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW clips",
        "",
        "-- nothing",
    ],
)
def test_what_does_not_only_read_is_refused_in_one_line(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    refused_in_one_line(connection, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_parquet('https://example.org/a.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/passwd'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'copied.csv'",
        "SELECT * FROM a_frame_of_this_module",
    ],
)
def test_sql_reaches_no_file_no_network_and_no_variable(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    refused_in_one_line(connection, query)


a_frame_of_this_module = pl.DataFrame({"secret": [1]})


@pytest.mark.parametrize(
    "query", ["SELEC 1", "SELECT nonsense FROM clips", "SELECT * FROM nowhere", "SELECT 'a'::INT"]
)
def test_what_the_database_refuses_is_told_in_one_line(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    refused_in_one_line(connection, query)


def refused_in_one_line(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises(UserError) as refused:
        read_only(connection, query)
    assert str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_connection_answers_more_than_once(connection: duckdb.DuckDBPyConnection) -> None:
    for _ in range(2):
        assert read_only(connection, "SELECT count(*) FROM clips")[1] == [(6,)]
