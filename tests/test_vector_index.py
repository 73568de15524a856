"""Vectors get an index once there are enough, and rows that came since are found all the same."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.settings import load_settings
from lakehouse.tables import vector_index
from lakehouse.tables.commit import add_children
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.maintenance import maintain
from lakehouse.tables.schemas import embeddings

DIMENSIONS, ROWS = 16, 600
TABLE = embeddings("some", DIMENSIONS)
VECTORS = np.random.default_rng(1).normal(size=(ROWS + 1, DIMENSIONS)).astype(np.float32)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(vector_index, "LEAST_ROWS", 500)
    lake = open_lake(load_settings(lake=str(tmp_path / "lake")))
    lake.bootstrap([TABLE])
    return lake


def write(lake: Lake, first: int, last: int) -> None:
    empty = {f.name: "" if f.type == pa.string() else 0 for f in TABLE.schema if not f.nullable}
    add_children(
        lake,
        TABLE,
        [
            {
                **empty,
                "clip_id": f"{number}",
                "day": date(2026, 1, 5),
                "camera": f"rex-{number % 3}",
                "vector": VECTORS[number],
            }
            for number in range(first, last)
        ],
    )


def index_of(lake: Lake) -> list[Any]:
    indices = lake.dataset(TABLE).describe_indices()
    return [index for index in indices if "vector" in index.field_names]


def nearest(lake: Lake, number: int) -> str:
    asked = {"column": "vector", "q": VECTORS[number], "k": 1, "metric": "cosine"}
    found = lake.dataset(TABLE).scanner(columns=["clip_id", "_distance"], nearest=asked)
    return str(found.to_table()["clip_id"][0])


def test_few_vectors_need_no_index(lake: Lake) -> None:
    write(lake, 0, 499)
    maintain(lake, TABLE, timedelta(0))
    assert index_of(lake) == []


def test_maintenance_indexes_many_vectors_once(lake: Lake) -> None:
    write(lake, 0, ROWS)
    assert "vector_idx" in maintain(lake, TABLE, timedelta(0)).indices
    (index,) = index_of(lake)
    assert (index.index_type, index.num_rows_indexed) == ("IVF_RQ", ROWS)
    assert maintain(lake, TABLE, timedelta(0)).indices == ()


def test_a_row_that_came_since_is_found_at_once(lake: Lake) -> None:
    write(lake, 0, ROWS)
    maintain(lake, TABLE, timedelta(0))
    write(lake, ROWS, ROWS + 1)
    assert index_of(lake)[0].num_rows_indexed == ROWS
    assert nearest(lake, ROWS) == f"{ROWS}"


def test_maintenance_takes_new_rows_into_the_index(lake: Lake) -> None:
    write(lake, 0, ROWS)
    maintain(lake, TABLE, timedelta(0))
    write(lake, ROWS, ROWS + 1)
    assert "vector_idx" in maintain(lake, TABLE, timedelta(0)).indices
    assert index_of(lake)[0].num_rows_indexed == ROWS + 1
    assert nearest(lake, ROWS) == f"{ROWS}"


def test_an_index_that_is_outgrown_is_made_anew(lake: Lake) -> None:
    write(lake, 0, ROWS)
    lake.dataset(TABLE).create_index("vector", "IVF_RQ", metric="cosine", num_partitions=2)
    assert "vector_idx" in maintain(lake, TABLE, timedelta(0)).indices
    (index,) = index_of(lake)
    stats = lake.dataset(TABLE).stats.index_stats(index.name)
    assert stats["indices"][0]["num_partitions"] == round(ROWS**0.5)
