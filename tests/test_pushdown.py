"""What SQL doesn't ask for isn't read: columns and filters of the views reach Lance.

Measured by what Lance says that it read of a table of many vectors, and for every view by DuckDB's
plan.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lakehouse
from lakehouse.query.opened import Opened
from lakehouse.query.tables import embedding_tables
from lakehouse.tables.schemas import Table
from tests.lakes import PARTITION, Site
from tests.queried import REAR

MANY = 4000
VIEWS = ["recordings", "clips", "frames", "scores", "verdicts", "captions", "ledger", "runs"]
VIEWS += ["daily_reports", "gone"]
KEYS = {"recording_id", "etag", "clip_id", "fingerprint", "attempts"}
"""What says which rows count, and is read of all partitions."""


def vectors_of(site: Site) -> Table:
    return embedding_tables(site.settings)["default"]


@pytest.fixture(scope="module")
def crowded(lake: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A lake with thousands of vectors of the front camera, and one of the rear camera."""
    made = lake.copied_to(Path(tmp_path_factory.mktemp("crowded")))
    table = vectors_of(made)
    (like, *_) = made.rows(table, where=PARTITION.predicate)
    rows = [{**like, "clip_id": f"{like['clip_id']}-{number}"} for number in range(MANY)]
    vectors = np.random.default_rng(0).random((MANY, len(like["vector"])), np.float32)
    written = pa.Table.from_pylist(rows, table.schema)
    place = table.schema.get_field_index("vector")
    flat = pa.array(vectors.ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    made.lake.dataset(table).insert(written.set_column(place, table.schema.field("vector"), column))
    return made


@pytest.fixture
def opened(crowded: Site) -> Iterator[Opened]:
    with lakehouse.open(crowded.settings) as opened:
        yield opened


def bytes_read(opened: Opened, site: Site, query: str) -> int:
    """Of the vectors' table, by a query."""
    dataset = opened.lake.dataset(vectors_of(site))
    dataset.io_stats_incremental()
    opened.sql(query).fetchall()
    return int(dataset.io_stats_incremental().read_bytes)


def test_columns_that_are_not_asked_for_are_not_read(opened: Opened, crowded: Site) -> None:
    everything = bytes_read(opened, crowded, "SELECT * FROM embeddings")
    assert everything > MANY * 4 * 100
    assert bytes_read(opened, crowded, "SELECT clip_id FROM embeddings") < everything / 4


def test_partitions_that_are_not_asked_for_are_not_read(opened: Opened, crowded: Site) -> None:
    everything = bytes_read(opened, crowded, "SELECT * FROM embeddings")
    one = f"SELECT * FROM embeddings WHERE {REAR.predicate}"
    assert len(opened.sql(one).fetchall()) == 1
    assert bytes_read(opened, crowded, one) < everything / 4


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node["name"] == "PYTHON_ARROW_SCAN":
        yield node["extra_info"]
    for child in node["children"]:
        yield from scans(child)


@pytest.mark.parametrize("view", VIEWS)
def test_a_partitions_filter_reaches_every_table_of_a_view(opened: Opened, view: str) -> None:
    query = f"EXPLAIN (FORMAT json) SELECT * FROM {view} WHERE {REAR.predicate}"
    ((_, plan),) = opened.sql(query).fetchall()
    wide = [scan for scan in scans(json.loads(plan)[0]) if set(scan["Projections"]) - KEYS]
    assert wide
    for scan in wide:
        assert f"(\"day\" = DATE '{REAR.day}')" in scan["Filters"]
        assert f"(\"camera\" = '{REAR.camera}')" in scan["Filters"]
