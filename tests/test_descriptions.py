"""Every column of every table is described, and nothing that is no column."""

import pytest

from lakehouse.query.tables import all_tables
from lakehouse.settings import load_settings
from lakehouse.tables import schemas
from lakehouse.tables.descriptions import _ANYWHERE, _OF_TABLE, describe
from lakehouse.tables.schemas import Table

TABLES = [
    *all_tables(load_settings()),
    schemas.model_scores("judge"),
    schemas.frame_embeddings("any", 1),
    schemas.caption_embeddings("any", 1),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_described_in_a_sentence(table: Table) -> None:
    for column in table.schema.names:
        text = describe(table, column)
        assert text.endswith("."), column
        assert 5 < len(text) < 110, column


def test_nothing_is_described_that_is_no_column() -> None:
    columns = {column for table in TABLES for column in table.schema.names}
    described = {*_ANYWHERE, *(name for of in _OF_TABLE.values() for name in of)}
    signals_of_samples = {"motion", "noise"}
    assert described - signals_of_samples <= columns
