"""Maintenance: rows stay, whoever reads or writes at the same time; the rest becomes small."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import lance
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lakehouse.settings import S3Settings, load_settings
from lakehouse.tables import maintenance
from lakehouse.tables.commit import add_children, remove_children
from lakehouse.tables.lake import Lake, TableMissingError, open_lake
from lakehouse.tables.maintenance import maintain, superseded
from lakehouse.tables.schemas import CAPTIONS, CLIPS, Table
from tests.lakes import at_once

NOTHING, AN_HOUR = timedelta(0), timedelta(hours=1)
MONDAY = date(2026, 1, 5)
PATIENCE_S = 60.0


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_at(tmp_path)


def lake_at(folder: Path) -> Lake:
    lake = open_lake(load_settings(lake=str(folder / "lake")))
    lake.bootstrap([CAPTIONS])
    return lake


def caption(number: int, text: str = "a corridor, 走廊") -> dict[str, Any]:
    """A row of table `captions`: what this test doesn't care about is empty."""
    empty = {f.name: "" if f.type == pa.string() else 0 for f in CAPTIONS.schema if not f.nullable}
    return {
        **empty,
        "caption_id": f"{number}",
        "day": MONDAY + timedelta(days=number % 7),
        "camera": f"rex-{number % 3}",
        "text": text,
    }


def write(lake: Lake, numbers: Iterable[int], text: str = "a corridor, 走廊") -> None:
    """Each row in a commit of its own."""
    for number in numbers:
        add_children(lake, CAPTIONS, [caption(number, text)])


def rows(dataset: Any) -> list[dict[str, Any]]:
    return dataset.to_table().sort_by("caption_id").to_pylist()


def found(lake: Lake, word: str) -> set[str]:
    hits = lake.dataset(CAPTIONS).scanner(
        columns=["caption_id", "_score"], full_text_query=word, limit=1000
    )
    return set(hits.to_table()["caption_id"].to_pylist())


def versions(lake: Lake) -> list[int]:
    return sorted(version["version"] for version in lake.dataset(CAPTIONS).versions())


class TestATable:
    @given(
        st.lists(
            st.tuples(
                st.sets(st.integers(0, 30), min_size=1, max_size=5),
                st.sampled_from(["corridor", "hall", "走廊", None]),
                st.booleans(),
            ),
            max_size=12,
        )
    )
    @settings(max_examples=12, deadline=None)
    def test_keeps_its_rows_and_what_search_finds_whatever_was_done_to_it(
        self, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[set[int], Any, bool]]
    ) -> None:
        lake = lake_at(tmp_path_factory.mktemp("any"))
        truth: dict[str, str] = {}
        for numbers, text, maintained in steps:
            keys = [str(number) for number in numbers]
            if text is None:
                remove_children(lake, CAPTIONS, keys)
                truth = {key: words for key, words in truth.items() if key not in keys}
            else:
                add_children(lake, CAPTIONS, [caption(number, text) for number in numbers])
                truth |= dict.fromkeys(keys, text)
            if maintained:
                maintain(lake, CAPTIONS, NOTHING)
        before = rows(lake.dataset(CAPTIONS))
        assert {row["caption_id"]: row["text"] for row in before} == truth
        for _ in range(2):
            for word in ("corridor", "hall", "走廊"):
                assert found(lake, word) == {key for key, text in truth.items() if text == word}
            maintain(lake, CAPTIONS, NOTHING)
            assert rows(lake.dataset(CAPTIONS)) == before

    def test_becomes_one_fragment_and_one_version(self, lake: Lake) -> None:
        write(lake, range(20))
        before = versions(lake)
        report = maintain(lake, CAPTIONS, NOTHING)
        assert (report.fragments_before, report.fragments_after) == (20, 1)
        assert (report.versions_before, report.versions_after) == (len(before), 1)
        assert report.versions_removed >= len(before)
        assert report.bytes_removed > 0
        assert versions(lake) == [lake.dataset(CAPTIONS).version]

    def test_has_indices_over_all_its_rows(self, lake: Lake) -> None:
        write(lake, range(20))
        maintain(lake, CAPTIONS, NOTHING)
        indices = lake.dataset(CAPTIONS).describe_indices()
        assert {(i.index_type, i.num_rows_indexed, len(i.segments)) for i in indices} == {
            ("ZoneMap", 20, 1),
            ("Bitmap", 20, 1),
            ("Inverted", 20, 1),
        }

    def test_gets_back_an_index_that_is_missing(self, lake: Lake) -> None:
        lake.dataset(CAPTIONS).drop_index("camera_idx")
        maintain(lake, CAPTIONS, NOTHING)
        assert "camera_idx" in {i.name for i in lake.dataset(CAPTIONS).describe_indices()}

    def test_that_needs_nothing_gets_no_new_version(self, lake: Lake) -> None:
        write(lake, range(3))
        maintain(lake, CAPTIONS, NOTHING)
        before = lake.dataset(CAPTIONS).version
        report = maintain(lake, CAPTIONS, NOTHING)
        assert lake.dataset(CAPTIONS).version == before
        assert (report.indices, report.deferred, report.versions_removed) == ((), (), 0)

    def test_of_large_fragments_is_left_alone(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_children(lake, CAPTIONS, map(caption, range(10)))
        add_children(lake, CAPTIONS, map(caption, range(10, 20)))
        files = [f.data_files()[0].file_size_bytes for f in lake.dataset(CAPTIONS).get_fragments()]
        monkeypatch.setattr(maintenance, "FRAGMENT_BYTES", 2 * min(files))
        assert maintain(lake, CAPTIONS, NOTHING).fragments_after == 2

    def test_is_never_made_by_maintenance(self, lake: Lake) -> None:
        with pytest.raises(TableMissingError):
            maintain(lake, CLIPS, NOTHING)
        assert not lake.exists(CLIPS)


class TestVersions:
    def test_a_tagged_one_stays_and_opens(self, lake: Lake) -> None:
        write(lake, range(5))
        tagged = lake.dataset(CAPTIONS)
        tagged.tags.create("training", tagged.version)
        write(lake, range(5, 10))
        maintain(lake, CAPTIONS, NOTHING)
        assert versions(lake) == [tagged.version, lake.dataset(CAPTIONS).version]
        assert len(rows(lance.dataset(lake.uri(CAPTIONS), version="training"))) == 5

    def test_an_old_one_is_gone(self, lake: Lake) -> None:
        write(lake, range(3))
        old = lake.dataset(CAPTIONS).version
        write(lake, range(3, 5))
        maintain(lake, CAPTIONS, NOTHING)
        with pytest.raises(ValueError, match="not found"):
            lance.dataset(lake.uri(CAPTIONS), version=old)

    def test_a_reader_of_a_young_one_reads_on(self, lake: Lake) -> None:
        write(lake, range(20))
        reader = lake.dataset(CAPTIONS)
        before = rows(reader)
        write(lake, range(20), "rewritten")
        maintain(lake, CAPTIONS, AN_HOUR)
        assert rows(reader) == before
        assert rows(lance.dataset(lake.uri(CAPTIONS), version=reader.version)) == before

    @given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True), st.data())
    def test_whoever_opened_the_table_since_the_limit_keeps_the_version_that_was_latest_then(
        self, ages_s: list[int], data: st.DataObject
    ) -> None:
        now = datetime(2026, 1, 5, tzinfo=UTC)
        times = [now - timedelta(seconds=age_s) for age_s in sorted(ages_s, reverse=True)]
        committed = list(enumerate(times, 1))
        limit = now - timedelta(seconds=data.draw(st.integers(0, 10**6)))
        gone = superseded(committed, limit)
        opened = data.draw(st.datetimes(limit.replace(tzinfo=None), now.replace(tzinfo=None)))
        latest = sum(moment <= opened.replace(tzinfo=UTC) for moment in times)
        assert latest not in gone
        assert committed[-1][0] not in gone
        # Of those that were replaced before the limit, none is kept.
        assert len(gone) == max(0, sum(moment < limit for moment in times) - 1)

    @pytest.mark.parametrize(("age_days", "stays"), [(0, True), (6, True), (8, False)])
    def test_files_of_a_killed_writer_go_after_a_week(
        self, lake: Lake, age_days: int, stays: bool
    ) -> None:
        write(lake, range(2))
        data = Path(lake.uri(CAPTIONS)) / "data"
        abandoned = data / f"{'0' * 50}.lance"
        shutil.copyfile(next(data.glob("*.lance")), abandoned)
        moment = time.time() - timedelta(days=age_days).total_seconds()
        os.utime(abandoned, (moment, moment))
        maintain(lake, CAPTIONS, AN_HOUR)
        assert abandoned.exists() == stays


class Restless(Lake):
    """A lake in which somebody rewrites all rows whenever a table was opened."""

    def dataset(self, table: Table) -> Any:
        dataset = super().dataset(table)
        write(Lake(self.url, self.storage_options, self.s3), range(4))
        return dataset


class TestAtTheSameTime:
    def test_a_conflict_is_told_and_left_to_the_next_time(self, lake: Lake) -> None:
        write(lake, range(4))
        report = maintain(Restless(lake.url, lake.storage_options, lake.s3), CAPTIONS, AN_HOUR)
        assert any("Rewrite" in conflict for conflict in report.deferred)
        assert all("\n" not in conflict for conflict in report.deferred)
        assert len(rows(lake.dataset(CAPTIONS))) == 4
        assert maintain(lake, CAPTIONS, NOTHING).deferred == ()
        assert len(lake.dataset(CAPTIONS).get_fragments()) == 1

    def test_a_writer_loses_and_doubles_nothing(self, lake: Lake, tmp_path: Path) -> None:
        assert at_once(2, write_or_maintain, tmp_path) == [0, 0]
        texts = {row["caption_id"]: row["text"] for row in rows(lake.dataset(CAPTIONS))}
        assert texts == {str(number): "last" for number in range(1, ROWS)}
        assert len(rows(lake.dataset(CAPTIONS))) == len(texts)
        assert found(lake, "last") == texts.keys()
        assert not found(lake, "first")

    def test_two_maintenances_do_what_one_does(self, lake: Lake, tmp_path: Path) -> None:
        write(lake, range(40))
        before = rows(lake.dataset(CAPTIONS))
        assert at_once(2, only_maintain, tmp_path) == [0, 0]
        assert rows(lake.dataset(CAPTIONS)) == before
        assert maintain(lake, CAPTIONS, NOTHING).deferred == ()
        assert len(lake.dataset(CAPTIONS).get_fragments()) == 1
        assert found(lake, "corridor") == {row["caption_id"] for row in before}

    @pytest.mark.parametrize("commits", [1, 2, 3])
    def test_a_killed_maintenance_is_finished_by_the_next(
        self, lake: Lake, tmp_path: Path, commits: int
    ) -> None:
        write(lake, range(30))
        before, start = rows(lake.dataset(CAPTIONS)), lake.dataset(CAPTIONS).version
        spawn = multiprocessing.get_context("spawn")
        victim = spawn.Process(target=only_maintain_at, args=(tmp_path,))
        victim.start()
        wait_until(lambda: lake.dataset(CAPTIONS).version >= start + commits)
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        assert rows(lake.dataset(CAPTIONS)) == before
        maintain(lake, CAPTIONS, NOTHING)
        assert rows(lake.dataset(CAPTIONS)) == before
        assert len(lake.dataset(CAPTIONS).get_fragments()) == 1
        assert len(versions(lake)) == 1


ROWS = 30


def write_or_maintain(barrier: Any, number: int, folder: Path) -> None:
    """One process rewrites and removes rows, the other maintains until all is written."""
    lake = lake_at(folder)
    barrier.wait()
    if number == 0:
        write(lake, range(ROWS), "first")
        write(lake, range(ROWS), "last")
        remove_children(lake, CAPTIONS, ["0"])
    else:
        wait_until(lambda: maintain(lake, CAPTIONS, AN_HOUR) and is_written(lake))
        maintain(lake, CAPTIONS, AN_HOUR)


def is_written(lake: Lake) -> bool:
    texts = lake.dataset(CAPTIONS).to_table(["text"])["text"].to_pylist()
    return texts == ["last"] * (ROWS - 1)


def only_maintain(barrier: Any, number: int, folder: Path) -> None:
    del number
    barrier.wait()
    only_maintain_at(folder)


def only_maintain_at(folder: Path) -> None:
    maintain(lake_at(folder), CAPTIONS, AN_HOUR)


def wait_until(done: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline


@pytest.mark.usefixtures("aws_environment")
def test_a_lake_on_s3_is_maintained_like_a_folder(s3_url: str, s3_settings: S3Settings) -> None:
    lake = open_lake(load_settings(lake=f"{s3_url}/lake", s3=s3_settings.model_dump()))
    lake.bootstrap([CAPTIONS])
    write(lake, range(6))
    lake.dataset(CAPTIONS).tags.create("training", lake.dataset(CAPTIONS).version)
    write(lake, range(6, 12))
    reader = lake.dataset(CAPTIONS)
    before = rows(reader)
    maintain(lake, CAPTIONS, AN_HOUR)
    assert rows(reader) == before
    report = maintain(lake, CAPTIONS, NOTHING)
    assert report.deferred == ()
    assert rows(lake.dataset(CAPTIONS)) == before
    assert len(lake.dataset(CAPTIONS).get_fragments()) == 1
    assert len(versions(lake)) == 2
    assert found(lake, "走廊") == {row["caption_id"] for row in before}


@pytest.fixture
def here(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The lake that the settings of this process name."""
    monkeypatch.setenv("LAKEHOUSE_LAKE", lake.url)
    return lake


class TestTheCommand:
    def run(self, *arguments: str) -> str:
        from assets.command_line.app import app

        result = CliRunner().invoke(app, ["maintain", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    def test_maintains_the_tables_that_exist_and_tells_what_it_did(self, here: Lake) -> None:
        write(here, range(10))
        shown = self.run("--keep-versions-s", "0")
        assert len(versions(here)) == 1
        assert "captions" in shown
        assert "10 -> 1" in shown
        assert "MB freed" in shown
        assert not here.exists(CLIPS)

    def test_keeps_the_versions_that_the_settings_keep(self, here: Lake) -> None:
        write(here, range(10))
        before = versions(here)
        self.run()
        assert set(before) <= set(versions(here))


class TestTheJob:
    def test_maintains_every_table(self, here: Lake) -> None:
        from assets.definitions import definitions

        write(here, range(10))
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def("maintain").execute_in_process(instance=instance)
        assert result.success
        assert len(here.dataset(CAPTIONS).get_fragments()) == 1

    def test_is_asked_for_every_hour_unless_one_is_not_done_yet(self, tmp_path: Path) -> None:
        from assets.definitions import definitions
        from assets.maintenance import hourly_maintenance, maintain

        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            context = dg.build_schedule_context(instance=instance)
            assert isinstance(hourly_maintenance(context), dg.RunRequest)
            job = definitions.resolve_job_def(maintain.name)
            instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
            assert isinstance(hourly_maintenance(context), dg.SkipReason)
