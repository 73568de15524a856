"""Tables: created once, whoever comes at once; children replaced whole or not at all."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import UserError
from lakehouse.settings import load_settings
from lakehouse.tables.commit import complete, remove_children, replace_children
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import (
    CAPTIONS,
    CLIPS,
    FRAMES,
    PROVENANCE,
    RECORDINGS,
    SCORES,
    Table,
    embeddings,
)
from tests.lakes import at_once

TABLES = (RECORDINGS, CLIPS, FRAMES, SCORES, CAPTIONS, embeddings("default", 4))
MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_at(tmp_path)


def lake_at(folder: Path) -> Lake:
    lake = open_lake(load_settings(lake=str(folder / "lake")))
    lake.bootstrap([CLIPS])
    return lake


def clips_of(
    recording: str, *numbers: int, day: date = MONDAY, camera: str = "rex-front", run: str = "a"
) -> list[dict[str, Any]]:
    """Rows of table `clips`, one for each number."""
    return [
        complete(
            {
                "clip_id": f"{recording}-{number}",
                "recording_id": recording,
                "etag": "an-etag",
                "day": day,
                "camera": camera,
                "start_s": float(number),
                "end_s": number + 1.0,
                "start_frame": number,
                "end_frame": number + 1,
                "boundary": "start",
                "profile": "exact",
                "status": "kept",
                "frames_hash": "",
            },
            fingerprint="made-from",
            stage_version="1",
            run_id=run,
            attempts=1,
        )
        for number in numbers
    ]


def keys_in(lake: Lake) -> list[str]:
    return sorted(lake.read(CLIPS, None, ["clip_id"]).get_column("clip_id"))


def without_versions(lake: Lake) -> list[dict[str, Any]]:
    return lake.read(CLIPS, None, CLIPS.schema.names).sort("clip_id").to_dicts()


# Schemas


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_has_a_string_key_a_partition_and_provenance(table: Table) -> None:
    key = table.schema.field(table.key)
    assert (key.type, key.nullable) == (pa.string(), False)
    assert table.schema.field("day").type == pa.date32()
    assert table.schema.field("camera").type == pa.string()
    assert set(PROVENANCE) <= set(table.schema)
    assert table.parent in table.schema.names


# Creating tables


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_created_table_guards_its_key_and_keeps_row_ids(tmp_path: Path, table: Table) -> None:
    lake = open_lake(load_settings(lake=str(tmp_path / "lake")))
    lake.bootstrap([table])
    dataset = lake.dataset(table)
    metadata = dataset.schema.field(table.key).metadata
    assert metadata[b"lance-schema:unenforced-primary-key"] == b"true"
    assert dataset.has_stable_row_ids
    assert dataset.schema.names == table.schema.names


def test_a_second_bootstrap_changes_nothing(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["r"], clips_of("r", 1))
    version = lake.dataset(CLIPS).version
    lake.bootstrap([CLIPS])
    assert (lake.dataset(CLIPS).version, keys_in(lake)) == (version, ["r-1"])


def test_a_new_table_joins_those_that_exist(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["r"], clips_of("r", 1))
    lake.bootstrap([CLIPS, SCORES])
    assert lake.exists(SCORES)
    assert keys_in(lake) == ["r-1"]


def test_a_bootstrap_that_was_killed_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    lake = open_lake(load_settings(lake=str(tmp_path / "lake")))
    with monkeypatch.context() as patched:
        patched.setattr(lance.LanceDataset, "create_scalar_index", killed)
        with pytest.raises(KeyboardInterrupt):
            lake.bootstrap([CAPTIONS])
    lake.bootstrap([CAPTIONS])
    indices = lake.dataset(CAPTIONS).describe_indices()
    assert {name for index in indices for name in index.field_names} == {"day", "camera", "text"}


def bootstrap_and_write(barrier: Any, number: int, lake: Lake) -> None:
    barrier.wait()
    lake.bootstrap([CLIPS, CAPTIONS])
    replace_children(lake, CLIPS, [f"r{number}"], clips_of(f"r{number}", 1, 2))


def test_processes_that_create_the_lake_at_once_create_it_once_and_lose_nothing(
    tmp_path: Path,
) -> None:
    lake = open_lake(load_settings(lake=str(tmp_path / "lake")))
    assert at_once(3, bootstrap_and_write, lake) == [0, 0, 0]
    assert keys_in(lake) == ["r0-1", "r0-2", "r1-1", "r1-2", "r2-1", "r2-2"]


def test_a_lake_without_tables_says_what_to_do(tmp_path: Path) -> None:
    lake = open_lake(load_settings(lake=str(tmp_path)))
    assert not lake.exists(CLIPS)
    with pytest.raises(UserError, match="no table clips; run `lakehouse ingest`"):
        lake.dataset(CLIPS)


def test_a_lake_that_cannot_be_created_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lake = open_lake(load_settings(lake=str(tmp_path / "file" / "lake")))
    with pytest.raises(UserError) as refused:
        lake.bootstrap([CLIPS])
    assert lake.url in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_lake_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="LAKEHOUSE_LAKE"):
        open_lake(load_settings(lake="ftp://host/lake"))


def test_what_reaches_a_lake_does_not_show_in_it(lake: Lake) -> None:
    secret = Lake(lake.url, {"secret_access_key": "hush"}, None)
    assert "hush" not in repr(secret)


# Replacing children


def test_replacing_twice_is_the_same_table(lake: Lake) -> None:
    rows = clips_of("r", 1, 2)
    assert replace_children(lake, CLIPS, ["r"], rows) == 2
    before = without_versions(lake)
    assert replace_children(lake, CLIPS, ["r"], rows) == 2
    assert without_versions(lake) == before


def test_children_are_replaced_whole(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["r"], clips_of("r", 1, 2, 3))
    replace_children(lake, CLIPS, ["r"], clips_of("r", 2, 4))
    assert keys_in(lake) == ["r-2", "r-4"]


def test_a_parent_left_without_children_loses_them(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["r", "s"], clips_of("r", 1) + clips_of("s", 1))
    replace_children(lake, CLIPS, ["r", "s"], clips_of("s", 2))
    assert keys_in(lake) == ["s-2"]
    assert replace_children(lake, CLIPS, ["s"], []) == 0
    assert keys_in(lake) == []


def test_other_parents_children_are_not_even_rewritten(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["r"], clips_of("r", 1, run="first"))
    replace_children(lake, CLIPS, ["s"], clips_of("s", 1, run="second"))
    written = "_row_last_updated_at_version"
    rows = lake.dataset(CLIPS).scanner(columns=["run_id", written]).to_table().to_pylist()
    versions = {row["run_id"]: row[written] for row in rows}
    assert versions["first"] < versions["second"]


def test_a_replacement_is_one_commit(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["r"], clips_of("r", 1, 2))
    version = lake.dataset(CLIPS).version
    replace_children(lake, CLIPS, ["r"], clips_of("r", 2, 3))
    assert lake.dataset(CLIPS).version == version + 1


def test_nothing_is_committed_where_there_is_nothing_to_remove(lake: Lake) -> None:
    version = lake.dataset(CLIPS).version
    remove_children(lake, CLIPS, ["unknown"])
    remove_children(lake, CLIPS, [])
    assert lake.dataset(CLIPS).version == version


def test_quotes_in_ids_are_only_characters(lake: Lake) -> None:
    replace_children(lake, CLIPS, ["it's", "r"], clips_of("it's", 1) + clips_of("r", 1))
    remove_children(lake, CLIPS, ["it's"])
    assert keys_in(lake) == ["r-1"]


replacements = st.lists(
    st.dictionaries(st.sampled_from("rst"), st.sets(st.integers(0, 3)), min_size=1), max_size=6
)


@settings(max_examples=12, deadline=None)
@given(replacements)
def test_the_table_holds_what_each_parent_was_last_given(
    tmp_path_factory: pytest.TempPathFactory, given_in_turn: list[dict[str, set[int]]]
) -> None:
    lake = lake_at(tmp_path_factory.mktemp("turns"))
    last: dict[str, set[int]] = {}
    for turn in given_in_turn:
        rows = [row for parent, numbers in turn.items() for row in clips_of(parent, *numbers)]
        replace_children(lake, CLIPS, list(turn), rows)
        last |= turn
    assert keys_in(lake) == sorted(
        f"{parent}-{n}" for parent, numbers in last.items() for n in numbers
    )


def replace_own_and_shared(barrier: Any, number: int, lake: Lake) -> None:
    barrier.wait()
    for turn in range(3):
        own = f"own{number}{turn}"
        replace_children(lake, CLIPS, [own], clips_of(own, 1, 2))
        shared = clips_of("shared", 1, 2, 3, run=f"{number}-{turn}")
        replace_children(lake, CLIPS, ["shared"], shared)


def test_processes_that_replace_at_once_lose_no_row_and_write_none_twice(lake: Lake) -> None:
    assert at_once(3, replace_own_and_shared, lake) == [0, 0, 0]
    own = {f"own{n}{turn}-{clip}" for n in range(3) for turn in range(3) for clip in (1, 2)}
    assert keys_in(lake) == sorted(own | {"shared-1", "shared-2", "shared-3"})
    shared = lake.read(CLIPS, None, ["run_id"], "recording_id = 'shared'")
    assert shared.get_column("run_id").n_unique() == 1


# Reading


def read_ids(lake: Lake, partition: Partition | None, where: str = "") -> list[str]:
    return sorted(lake.read(CLIPS, partition, ["recording_id"], where).get_column("recording_id"))


def fill(lake: Lake, rows: Iterable[dict[str, Any]]) -> None:
    listed = list(rows)
    replace_children(lake, CLIPS, [row["recording_id"] for row in listed], listed)


def test_a_partition_is_read_without_its_neighbours(lake: Lake) -> None:
    fill(
        lake,
        clips_of("a", 1)
        + clips_of("b", 1, day=TUESDAY)
        + clips_of("c", 1, camera="rex-rear")
        + clips_of("d", 1, camera="rex's-front"),
    )
    assert read_ids(lake, Partition(MONDAY, "rex-front")) == ["a"]
    assert read_ids(lake, Partition(TUESDAY, "rex-front")) == ["b"]
    assert read_ids(lake, Partition(MONDAY, "rex's-front")) == ["d"]
    assert read_ids(lake, Partition(TUESDAY, "rex-rear")) == []
    assert read_ids(lake, None) == ["a", "b", "c", "d"]


def test_a_condition_narrows_a_partition(lake: Lake) -> None:
    fill(lake, clips_of("a", 1, 2) + clips_of("b", 1, 2, day=TUESDAY))
    where = "start_s > 1 OR start_s > 5"
    assert read_ids(lake, Partition(MONDAY, "rex-front"), where) == ["a"]
    assert read_ids(lake, None, where) == ["a", "b"]


def test_only_the_columns_asked_for_are_read(lake: Lake) -> None:
    fill(lake, clips_of("a", 1))
    assert lake.read(CLIPS, None, ["status", "clip_id"]).columns == ["status", "clip_id"]


# Fingerprints

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), plain))
def test_a_mapping_counts_by_content_not_by_order(mapping: dict[str, Any]) -> None:
    assert fingerprint(mapping) == fingerprint(dict(reversed(mapping.items())))


@given(st.text(), st.text(), st.text())
def test_where_a_part_ends_counts(first: str, middle: str, last: str) -> None:
    if middle:
        assert fingerprint(first + middle, last) != fingerprint(first, middle + last)


@given(st.binary(), st.binary())
def test_different_bytes_have_different_fingerprints(one: bytes, other: bytes) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert (fingerprint({"jpeg": one}) == fingerprint({"jpeg": other})) == (one == other)


def test_a_fingerprint_is_the_same_on_every_machine_and_in_every_run() -> None:
    assert fingerprint("a", 1, None, {"day": MONDAY}) == "be40149a8628509b4e9a5e607d4d5127"


def test_a_row_carries_what_it_was_made_from_and_its_own_hash() -> None:
    row = complete({"x": 1}, fingerprint="f", stage_version="1-a", run_id="run", attempts=2)
    assert row == {
        "x": 1,
        "fingerprint": "f",
        "stage_version": "1-a",
        "content_hash": fingerprint({"x": 1}),
        "attempts": 2,
        "run_id": "run",
    }


def test_the_hash_of_a_row_is_of_what_is_in_it_and_not_of_which_row_it_is() -> None:
    here = {"clip_id": "r-0", "recording_id": "r", "etag": "1", "day": MONDAY, "camera": "a-b"}
    there = {"clip_id": "s-0", "recording_id": "s", "etag": "2", "day": TUESDAY, "camera": "c-d"}
    made = {"fingerprint": "f", "stage_version": "1", "run_id": "run", "attempts": 1}
    hashes = [complete({**of, "x": 1}, **made)["content_hash"] for of in (here, there)]
    assert hashes[0] == hashes[1]
    assert complete({**here, "x": 2}, **made)["content_hash"] != hashes[0]
