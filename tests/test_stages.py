"""The chain over one partition: what it makes of good, dark, brief and broken footage.

What it does a second time is `test_increments`.
"""

import shutil
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from lakehouse.engine.retry import Retry
from lakehouse.engine.scan import partition_at, scan, with_work
from lakehouse.query.ledger import open_accounts
from lakehouse.stages.chain import FAMILIES, stages_of, versions_of
from lakehouse.stages.recordings import recording_id
from lakehouse.storage.bucket import ObjectInfo
from lakehouse.storage.keys import KeyPattern, Mismatch
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CAPTIONS, CLIPS, FRAMES, RECORDINGS, SCORES, embeddings
from lakehouse.video.signals import SIGNALS
from tests.lakes import FRAME_RATE, LENIENT, PARTITION, Site, film, key_of, site

EMBEDDINGS = embeddings("default", 240)
BROKEN = Path(__file__).parents[2] / "shared" / "footage" / "broken"
BROKEN_FILES = sorted(file.name for file in BROKEN.iterdir()) if BROKEN.is_dir() else []
PATTERN = KeyPattern.parse("{robot}/{camera}/{day}/{name}")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A partition with one recording of each kind, through the whole chain."""
    made = site(tmp_path_factory.mktemp("day"))
    made.put("rooms.mp4", film(("yard", 3), ("hall", 2)))
    made.put("long.mp4", film(("shed", 9)))
    made.put("dark.mp4", film(("cellar", 2)))
    made.put("brief.mp4", film(("shed", 0.7)))
    made.put("broken.mp4", b"not a film")
    made.put("empty.mp4", b"")
    made.run()
    return made


def of(name: str) -> str:
    return f"recording_id = '{recording_id(key_of(name))}'"


# Recordings


def test_every_object_is_a_recording(day: Site) -> None:
    names = ("rooms.mp4", "long.mp4", "dark.mp4", "brief.mp4", "broken.mp4", "empty.mp4")
    assert {row["key"] for row in day.rows(RECORDINGS)} == {key_of(name) for name in names}


def test_a_recording_says_what_its_object_is(day: Site) -> None:
    (row,) = day.rows(RECORDINGS, where=of("rooms.mp4"))
    stated = {
        "robot": "rex",
        "camera": "rex-front",
        "day": PARTITION.day,
        "container": "mov",
        "codec": "h264",
        "width": 160,
        "height": 128,
        "rotation_deg": 0,
        "duration_s": 5.0,
        "frame_count": 5 * FRAME_RATE,
        "frame_rate": float(FRAME_RATE),
        "variable_frame_rate": False,
        "has_audio": False,
        "error": None,
        "size_bytes": len(film(("yard", 3), ("hall", 2))),
        "etag": day.bucket.stat(key_of("rooms.mp4")).etag,
    }
    assert {name: row[name] for name in stated} == stated


@pytest.mark.parametrize("name", ["broken.mp4", "empty.mp4"])
def test_what_is_no_footage_is_a_recording_with_its_error(day: Site, name: str) -> None:
    (row,) = day.rows(RECORDINGS, where=of(name))
    assert row["error"]
    assert row["duration_s"] is None


# Clips and frames


@pytest.mark.parametrize("name", ["rooms.mp4", "long.mp4", "dark.mp4", "brief.mp4"])
def test_clips_tile_their_recording_to_the_frame(day: Site, name: str) -> None:
    (recording,) = day.rows(RECORDINGS, where=of(name))
    clips = day.rows(CLIPS, where=of(name))
    assert (clips[0]["start_frame"], clips[0]["start_s"]) == (0, 0.0)
    assert clips[0]["start_pts"] == recording["start_pts"]
    assert clips[-1]["end_frame"] == recording["frame_count"]
    assert clips[-1]["end_s"] == pytest.approx(recording["duration_s"])
    for before, after in pairwise(clips):
        for unit in ("frame", "pts", "s"):
            assert before[f"end_{unit}"] == after[f"start_{unit}"]


def test_a_clip_ends_where_the_place_changes(day: Site) -> None:
    clips = day.rows(CLIPS, where=of("rooms.mp4"))
    assert [(c["start_frame"], c["end_frame"], c["boundary"]) for c in clips] == [
        (0, 3 * FRAME_RATE, "start"),
        (3 * FRAME_RATE, 5 * FRAME_RATE, "cut"),
    ]


def test_a_long_shot_is_divided(day: Site) -> None:
    clips = day.rows(CLIPS, where=of("long.mp4"))
    assert [c["boundary"] for c in clips] == ["start", "length", "length"]
    limits = day.settings.clips
    for clip in clips:
        assert limits.min_clip_s <= clip["end_s"] - clip["start_s"] <= limits.max_clip_s
        assert clip["status"] == "kept"


def test_a_brief_span_is_too_short(day: Site) -> None:
    assert [c["status"] for c in day.rows(CLIPS, where=of("brief.mp4"))] == ["too_short"]


@pytest.mark.parametrize("name", ["broken.mp4", "empty.mp4"])
def test_what_is_no_footage_is_one_failed_clip_with_the_same_error(day: Site, name: str) -> None:
    (recording,) = day.rows(RECORDINGS, where=of(name))
    (clip,) = day.rows(CLIPS, where=of(name))
    assert (clip["status"], clip["error"]) == ("failed", recording["error"])


def test_frames_are_a_few_upright_pictures_of_each_clip(day: Site) -> None:
    clips = {clip["clip_id"]: clip for clip in day.rows(CLIPS)}
    frames = day.rows(FRAMES)
    for frame in frames:
        clip = clips[frame["clip_id"]]
        assert clip["start_pts"] <= frame["pts"] < clip["end_pts"]
        assert clip["start_s"] <= frame["time_s"] < clip["end_s"]
        picture = cv2.imdecode(np.frombuffer(frame["jpeg"], np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (frame["height"], frame["width"], 3)
    per_clip = {name: sum(f["clip_id"] == name for f in frames) for name in clips}
    for name, clip in clips.items():
        assert per_clip[name] == (0 if clip["status"] == "failed" else 2)


def test_frames_are_kept_at_the_size_that_is_set(tmp_path: Path) -> None:
    small = site(tmp_path, clips={"frame_longest_px": 64})
    small.put("a.mp4", film(("yard", 2)))
    small.run()
    assert {(f["width"], f["height"]) for f in small.rows(FRAMES)} == {(64, 51)}


# Scores and verdicts


def test_every_kept_clip_is_scored_and_no_other(day: Site) -> None:
    kept = {clip["clip_id"] for clip in day.rows(CLIPS, where="status = 'kept'")}
    assert {score["clip_id"] for score in day.rows(SCORES)} == kept


def test_scores_are_quantiles_of_the_samples(day: Site) -> None:
    (score, _) = day.rows(SCORES, where=of("rooms.mp4"))
    (clip, _) = day.rows(CLIPS, where=of("rooms.mp4"))
    assert score["sample_count"] == len(clip["samples"]) == 15
    for signal in SIGNALS:
        values = [s[signal] for s in clip["samples"] if s[signal] is not None]
        for suffix, quantile in {"p10": 0.1, "p50": 0.5, "p90": 0.9}.items():
            assert score[f"{signal}_{suffix}"] == pytest.approx(np.quantile(values, quantile))
    assert score["stillness"] == 0.0


def test_the_dark_is_rejected_and_the_rest_passes(day: Site) -> None:
    verdicts = day.sql("SELECT key, reasons FROM verdicts JOIN recordings USING (recording_id)")
    reasons = dict(verdicts.unique("key").iter_rows())
    assert reasons == {
        key_of("rooms.mp4"): [],
        key_of("long.mp4"): [],
        key_of("dark.mp4"): ["dark"],
    }


# Captions and embeddings


@pytest.mark.parametrize(("variant", "language"), [("default", "en"), ("zh", "zh")])
def test_every_passing_clip_has_a_caption_in_each_variant(
    day: Site, variant: str, language: str
) -> None:
    captions = day.rows(CAPTIONS, where=f"variant = '{variant}'")
    passing = day.sql("SELECT clip_id FROM verdicts WHERE passed").get_column("clip_id")
    assert {caption["clip_id"] for caption in captions} == set(passing)
    assert {caption["language"] for caption in captions} == {language}
    assert all(caption["text"] and caption["error"] is None for caption in captions)


def test_every_kept_clip_has_a_unit_vector(day: Site) -> None:
    vectors = day.rows(EMBEDDINGS)
    kept = {clip["clip_id"] for clip in day.rows(CLIPS, where="status = 'kept'")}
    assert {row["clip_id"] for row in vectors} == kept
    for row in vectors:
        assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-5)


def test_a_clip_between_two_samples_is_rejected_and_stops_nothing(tmp_path: Path) -> None:
    sparse = site(tmp_path, clips={"sample_interval_s": 4.0})
    sparse.put("rooms.mp4", film(("yard", 2), ("hall", 1.5), ("shed", 2)))
    sparse.run()
    verdicts = sparse.sql("SELECT reasons FROM verdicts ORDER BY clip_id").get_column("reasons")
    assert verdicts.to_list() == [[], ["unmeasured"], []]
    assert len(sparse.rows(EMBEDDINGS)) == 2
    assert all(report.written == 0 for report in sparse.run().values())


# The whole


def test_the_ledger_closes(day: Site) -> None:
    with day.connect() as connection:
        assert open_accounts(connection, PARTITION).is_empty()
    ledger = day.sql("SELECT * FROM ledger")
    seconds = {
        row["key"].rpartition("/")[2]: [
            round(row[f"{part}_s"], 3)
            for part in ("duration", "kept", "too_short", "failed", "passed", "rejected")
        ]
        for row in ledger.to_dicts()
    }
    assert seconds == {
        "rooms.mp4": [5.0, 5.0, 0.0, 0.0, 5.0, 0.0],
        "long.mp4": [9.0, 9.0, 0.0, 0.0, 9.0, 0.0],
        "dark.mp4": [2.0, 2.0, 0.0, 0.0, 0.0, 2.0],
        "brief.mp4": [0.7, 0.0, 0.7, 0.0, 0.0, 0.0],
        "broken.mp4": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "empty.mp4": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    }


def test_every_row_says_which_run_and_version_of_its_stage_made_it(day: Site) -> None:
    versions = {
        table.name: {stage.version}
        for stage in day.stages()
        if stage.table is not CAPTIONS
        for table in (stage.table, *stage.side_tables)
    }
    for table in day.tables():
        rows = day.rows(table, "stage_version", "run_id")
        assert {row["run_id"] for row in rows} == {"a-run"}
        assert {row["stage_version"] for row in rows} == versions.get(
            table.name, set(versions_of("captions", day.settings))
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_versions_of_a_family_are_known_without_its_stages(day: Site, family: str) -> None:
    stages = stages_of(family, day.settings, day.bucket, day.lake)
    assert versions_of(family, day.settings) == tuple(stage.version for stage in stages)


def test_a_partition_without_footage_is_no_work(tmp_path: Path) -> None:
    reports = site(tmp_path).run()
    assert [report.written for report in reports.values()] == [0] * 6


def test_the_same_footage_in_two_partitions_stays_apart(tmp_path: Path) -> None:
    other = Partition(date(2026, 1, 3), "rex-front")
    two = site(tmp_path)
    for partition in (PARTITION, other):
        two.put("a.mp4", film(("yard", 2)), partition)
        two.run(partition)
    assert [clip["day"] for clip in two.rows(CLIPS, "clip_id", "day")].count(other.day) == 1
    assert len(two.rows(CLIPS, "clip_id")) == 2


# Broken footage


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """All broken files and a good one in one partition, through the whole chain."""
    made = site(tmp_path_factory.mktemp("broken"))
    made.put("good.mp4", film(("yard", 3)))
    for name in BROKEN_FILES:
        shutil.copy(BROKEN / name, Path(made.settings.bucket) / key_of(name))
    made.run()
    return made


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_rows_that_add_up(broken: Site, name: str) -> None:
    (recording,) = broken.rows(RECORDINGS, where=of(name))
    clips = broken.rows(CLIPS, where=of(name))
    assert clips
    if recording["error"]:
        assert [(c["status"], c["error"]) for c in clips] == [("failed", recording["error"])]
    for clip in clips:
        assert (clip["status"] == "failed") == (clip["error"] is not None)
    with broken.connect() as connection:
        assert key_of(name) not in open_accounts(connection, PARTITION).get_column("key")


@pytest.mark.skipif(not BROKEN_FILES, reason="no broken footage here")
def test_broken_files_do_not_stop_the_others(broken: Site) -> None:
    (good,) = broken.rows(CLIPS, where=of("good.mp4"))
    assert good["status"] == "kept"
    assert len(broken.rows(CAPTIONS, where=f"clip_id = '{good['clip_id']}'")) == 2


@pytest.mark.skipif(not BROKEN_FILES, reason="no broken footage here")
def test_broken_files_are_not_read_again_for_nothing(broken: Site) -> None:
    assert all(report.written == 0 for report in broken.run().values())


# Which partitions there are


def info(key: str, size_bytes: int = 1) -> ObjectInfo:
    return ObjectInfo(key, size_bytes, "etag", datetime.now(UTC))


def test_a_listing_is_folded_into_its_partitions() -> None:
    listing = [
        info("rex/front/2026-01-02/a.mp4", 10),
        info("rex/front/2026-01-02/b.mp4", 20),
        info("rex/rear/2026-01-02/a.mp4", 30),
        info("readme.txt"),
    ]
    found = scan(listing, PATTERN, date(2020, 1, 1))
    assert {
        str(partition): (seen.object_count, seen.size_bytes)
        for partition, seen in found.partitions.items()
    } == {"2026-01-02 rex-front": (2, 30), "2026-01-02 rex-rear": (1, 30)}
    assert [mismatch.key for mismatch in found.mismatches] == ["readme.txt"]


def test_all_mismatches_are_counted_and_the_first_are_kept() -> None:
    found = scan((info(f"{n}.txt") for n in range(100)), PATTERN, date(2020, 1, 1))
    assert found.mismatch_count == 100
    assert [mismatch.key for mismatch in found.mismatches] == [f"{n}.txt" for n in range(20)]


def test_a_day_before_the_first_is_refused_with_the_setting_that_allows_it() -> None:
    first = date(2026, 1, 2)
    before = partition_at("rex/front/2026-01-01/a.mp4", PATTERN, first)
    assert isinstance(before, Mismatch)
    assert "LAKEHOUSE_FIRST_DAY" in before.reason
    assert partition_at("rex/front/2026-01-02/a.mp4", PATTERN, first) == PARTITION


def test_tomorrow_may_exist_already_and_the_day_after_not() -> None:
    today = datetime.now(UTC).date()
    for ahead, known in ((1, True), (3, False)):
        key = f"rex/front/{today + timedelta(days=ahead)}/a.mp4"
        found = partition_at(key, PATTERN, date(2020, 1, 1))
        assert isinstance(found, Partition) == known


def test_only_partitions_with_something_to_do_have_work(day: Site) -> None:
    other = Partition(date(2026, 1, 3), "rex-front")
    stages = day.stages()
    assert list(with_work([PARTITION, other], stages)) == []
    assert list(with_work([PARTITION, other], stages, retry=Retry(), max_attempts=3)) == [PARTITION]
    brighter = day.changed(thresholds=LENIENT).stages()
    assert list(with_work([PARTITION, other], brighter)) == [PARTITION]
