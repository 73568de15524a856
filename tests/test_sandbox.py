"""Somebody's SQL that tries to get out: each attempt is refused, in one line."""

from collections.abc import Iterator

import duckdb
import polars as pl
import pytest

from lakehouse.errors import UserError
from lakehouse.query.sandbox import VIEWS
from lakehouse.query.sql import answering, read_only
from lakehouse.settings import QuerySettings
from tests.lakes import Site

a_variable = pl.DataFrame({"secret": [1]})


@pytest.fixture(scope="module")
def locked(lake: Site) -> Iterator[duckdb.DuckDBPyConnection]:
    with lake.connect() as connection:
        yield connection


FILES = (
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd', all_varchar = true)",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('a.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT (SELECT content FROM read_text('/etc/passwd')) FROM clips",
    "WITH clips AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM clips",
    "SELECT * FROM clips WHERE clip_id IN (SELECT content FROM read_text('/etc/passwd'))",
    "COPY clips TO '/tmp/clips.csv'",
    "COPY (SELECT 1) TO '/tmp/one.parquet'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/one.csv'",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
    "EXPORT DATABASE '/tmp/everything'",
    "IMPORT DATABASE '/tmp/everything'",
    "ATTACH '/tmp/other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
)
SETTINGS = (
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET memory_limit",
    "PRAGMA memory_limit = '100GB'",
    "PRAGMA enable_profiling",
    "CREATE SECRET (TYPE s3)",
    "CREATE MACRO f() AS TABLE SELECT * FROM clips_rows",
    "PREPARE p AS SELECT * FROM clips_rows",
    "EXECUTE p",
    "CALL duckdb_settings()",
    "USE temp",
    "CHECKPOINT",
)
SECRETS = (
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_views",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_views",
    "SELECT * FROM pragma_table_info('clips_rows')",
    "SELECT current_setting('home_directory')",
    "SELECT getenv('HOME')",
    "SELECT getvariable('a')",
    "SHOW DATABASES",
    "SHOW ALL TABLES FROM system",
    "WITH sqlite_master AS (SELECT 1) SELECT * FROM (SELECT 1), sqlite_master",
)
INSIDE = (
    "SELECT * FROM clips_rows",
    "SELECT * FROM Clips_Rows",
    'SELECT * FROM "recordings_rows"',
    "SELECT * FROM temp.main.clips_rows",
    "SELECT * FROM temp.clips",
    'SELECT * FROM "embeddings-default-240"',
    "SELECT jpeg FROM frames_rows",
    "DESCRIBE clips_rows",
    "SUMMARIZE frames_rows",
    "SELECT * FROM query('SELECT * FROM clips_rows')",
    "SELECT * FROM query_table('clips_rows')",
    "WITH clips_rows AS (SELECT 1) SELECT * FROM clips_rows",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM clips_rows'))",
    "SELECT * FROM seq_scan()",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_map_function(1)",
    "SELECT * FROM a_variable",
    "SELECT sleep_ms(100000)",
    "SELECT write_log('a')",
)


@pytest.mark.parametrize("query", [*FILES, *SETTINGS, *SECRETS, *INSIDE])
def test_an_attempt_to_get_out_is_refused(locked: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises(UserError) as refused:
        read_only(locked, query)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN SELECT * FROM clips",
        "SELECT unnest(reasons) FROM verdicts",
        "SELECT * FROM range(3), generate_series(1, 2)",
        "WITH a AS (FROM clips), b AS (FROM a) SELECT count(*) FROM b",
        "SELECT s.* FROM (SELECT clip_id, row_number() OVER () FROM scores) s",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n",
        "SELECT list_filter([1, 2], lambda x: x > 1), regexp_matches(key, 'a') FROM recordings",
    ],
)
def test_what_analysts_write_is_answered(locked: duckdb.DuckDBPyConnection, query: str) -> None:
    assert read_only(locked, query)[1]


def test_only_the_views_are_listed(locked: duckdb.DuckDBPyConnection) -> None:
    assert read_only(locked, "SHOW TABLES")[1] == [(name,) for name in sorted(VIEWS)]


def test_every_view_can_be_read(locked: duckdb.DuckDBPyConnection) -> None:
    for view in VIEWS:
        read_only(locked, f"SELECT day, camera FROM {view} LIMIT 1")


def test_a_query_without_an_end_is_stopped(lake: Site) -> None:
    endless = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range = -b.range"
    with lake.connect() as connection, pytest.raises(UserError, match=r"query.timeout_s"):
        read_only(connection, endless, QuerySettings(timeout_s=0.3))


def test_a_query_that_needs_too_much_memory_is_refused(lake: Site) -> None:
    large = "SELECT list(a.range || repeat('x', 100)) FROM range(10000000) a"
    with lake.connect() as connection, pytest.raises(UserError, match=r"query.memory_mb"):
        read_only(connection, large, QuerySettings(memory_mb=64))


def test_more_rows_than_may_be_shown_are_refused(lake: Site) -> None:
    with lake.connect() as connection, pytest.raises(UserError, match="more than 10 rows"):
        read_only(connection, "FROM range(11)", QuerySettings(answer_rows=10))


def test_a_deep_query_is_refused_and_ends_nothing(locked: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UserError):
        read_only(locked, "SELECT " + "(" * 5000 + "1" + ")" * 5000)
    with answering(locked, "SELECT 1", QuerySettings()) as answer:
        assert list(answer.rows()) == [(1,)]


def test_all_views_may_be_read_and_nothing_else(lake: Site) -> None:
    with lake.connect() as connection:
        made = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal")
        names = {name for (name,) in made.fetchall()}
    assert {name for name in names if not name.endswith("_rows") and "-" not in name} == VIEWS
