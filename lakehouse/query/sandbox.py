"""What somebody's SQL may say: one statement that reads the views, and nothing else.

It is judged by what DuckDB's own parser makes of it, before it is run: which relations it names,
and which functions. Running it within its limits is `sql`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from lakehouse.errors import UserError

VIEWS = frozenset(
    {
        "recordings",
        "clips",
        "frames",
        "scores",
        "verdicts",
        "captions",
        "embeddings",
        "frame_embeddings",
        "ledger",
        "daily_reports",
        "runs",
        "gone",
    }
)
"""All that may be read."""

_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?", re.IGNORECASE)
_SHOWS_TABLES = ('"tables"', "tables", "__show_tables_expanded")
_TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"}
)
"""The only functions that may stand for a table: others read files, memory, or what DuckDB knows
of its machine."""
_REFUSED_FUNCTIONS = re.compile(
    r"getenv|getvariable|current_setting|current_query|current_database|current_schemas?"
    r"|current_catalog|in_search_path|sleep_ms|write_log|nextval|currval|setseed"
    r"|json_execute_serialized_sql|json_serialize_plan|json_deserialize_sql|extension_versions"
    r"|parse_duckdb_log_message|query|query_table|glob|which_secret|version"
    r"|read_.*|.*_scan|duckdb_.*|pragma_.*|pg_.*|python_.*|has_.*_privilege|.*_extern.*"
)

_INTERNAL = re.compile(r"_rows$|-|^duckdb_|^pg_|^pragma_|^sqlite_|^information_schema")
"""Names that a query may not even give to its own: elsewhere they would mean the real ones."""


def check(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    """Whether the query asks for the list of tables, which is answered apart. Raises UserError
    unless it is one statement that reads views and no more."""
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise UserError(f"one SQL statement at a time; this is {len(statements)}")
    if statements[0].type not in _READS:
        raise UserError("the lake is read-only for SQL; write a SELECT")
    text = statements[0].query
    if statements[0].type is duckdb.StatementType.EXPLAIN:
        text = _EXPLAIN.sub("", text, count=1)
        inner = connection.extract_statements(text)
        if len(inner) != 1 or inner[0].type is not duckdb.StatementType.SELECT:
            raise UserError("EXPLAIN takes a SELECT here")
    (serialized,) = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0]
    try:
        tree = json.loads(serialized)
    except RecursionError as error:
        raise UserError("SQL: the query nests too deeply") from error
    if tree.get("error"):
        raise UserError(f"SQL: {tree.get('error_message')}".replace("\n", " "))
    nodes = list(_nodes(tree))
    if _asks_for_tables(tree):
        return True
    named = {str(entry["key"]).lower() for node in nodes for entry in _common_tables(node)}
    for node in nodes:
        _check_node(node, VIEWS | {name for name in named if not _INTERNAL.search(name)})
    return False


def _check_node(node: dict[str, Any], relations: frozenset[str]) -> None:
    kind = node.get("type")
    if kind in ("BASE_TABLE", "SHOW_REF") and (node.get("table_name") or kind == "BASE_TABLE"):
        name = str(node.get("table_name")).lower()
        is_qualified = bool(node.get("schema_name") or node.get("catalog_name"))
        if is_qualified or name not in relations:
            shown = ".".join(node.get("qualified_name", {}).get("path", [name]))
            raise UserError(f"there is no view {shown}; there are {', '.join(sorted(VIEWS))}")
    elif kind == "TABLE_FUNCTION":
        name = str(node.get("function", {}).get("function_name")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise UserError(f"the function {name} is not for SQL over the lake; read a view")
    elif node.get("class") == "FUNCTION":
        name = str(node.get("function_name")).lower()
        if _REFUSED_FUNCTIONS.fullmatch(name):
            raise UserError(f"the function {name} is not for SQL over the lake")


def _asks_for_tables(tree: dict[str, Any]) -> bool:
    """Whether the statement is SHOW TABLES, whatever it is written like."""
    source = tree["statements"][0]["node"].get("from_table") or {}
    return source.get("type") == "SHOW_REF" and source.get("table_name") in _SHOWS_TABLES


def _common_tables(node: dict[str, Any]) -> list[dict[str, Any]]:
    held = node.get("cte_map")
    return list(held.get("map", ())) if isinstance(held, dict) else []


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree. Without recursion: a query may nest deeply."""
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
