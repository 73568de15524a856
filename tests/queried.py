"""A lake of three partitions that the tests of queries share, and copies of it to change."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from lakehouse.stages.recordings import recording_id
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS
from tests.lakes import PARTITION, Site, film, key_of, site

TUESDAY = Partition(date(2026, 1, 3), "rex-front")
REAR = Partition(PARTITION.day, "rex-rear")
ROOMS = "rooms.mp4"


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three partitions: on the first day two clips that pass, a dark one, and no footage."""
    made = site(tmp_path_factory.mktemp("queries"))
    made.put(ROOMS, film(("yard", 3), ("hall", 2)))
    made.put("dark.mp4", film(("cellar", 2)))
    made.put("broken.mp4", b"not a film")
    made.put("tuesday.mp4", film(("hall", 2)), TUESDAY)
    made.put("rear.mp4", film(("yard", 2)), REAR)
    for partition in (PARTITION, TUESDAY, REAR):
        made.run(partition)
    return made


@pytest.fixture
def copy(lake: Site, tmp_path: Path) -> Site:
    return lake.copied_to(tmp_path)


@pytest.fixture
def connection(lake: Site) -> Iterator[duckdb.DuckDBPyConnection]:
    with lake.connect() as connection:
        yield connection


def first_clip(site: Site, name: str = ROOMS) -> str:
    rows = site.rows(CLIPS, "clip_id", where=f"recording_id = '{recording_id(key_of(name))}'")
    return str(rows[0]["clip_id"])
