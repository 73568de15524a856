"""The chain against ground truth: every planted cut and fault of the sample is found, no other."""

from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest

from lakehouse.engine.local import run_stage
from lakehouse.query.tables import all_tables
from lakehouse.query.views import connect
from lakehouse.sample.footage import BUCKET_FOLDER, SampleOptions, write_sample
from lakehouse.sample.truth import REASONS, FileTruth, StateSpan, Truth
from lakehouse.settings import load_settings
from lakehouse.stages.chain import chain
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import open_lake
from lakehouse.tables.partition import Partition

# Three dogs: every condition and every state within a shot has its turn.
OPTIONS = SampleOptions(
    seed=29,
    width=240,
    height=136,
    fps=10,
    duration_s=42,
    days=(date(2026, 3, 2),),
    robots=("rex", "bella", "max"),
    cameras=("front",),
)

_NOT_SEEN = ["start", "length"]  # boundaries that are no event of the footage


@pytest.fixture(scope="module")
def patrol(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, pl.DataFrame]:
    """The truth, and the clips with their verdicts as the chain sees them."""
    folder = tmp_path_factory.mktemp("patrol")
    truth = write_sample(folder, OPTIONS, workers=2)
    settings = load_settings(
        bucket=str(folder / BUCKET_FOLDER),
        lake=str(folder / "lake"),
        clips={"min_clip_s": 1.0},  # stretches of a state last two seconds and more
    )
    bucket, lake = open_bucket(settings.bucket, settings.s3), open_lake(settings)
    lake.bootstrap(all_tables(settings))
    for file in truth.files:
        partition = Partition(file.day, f"{file.robot}-{file.camera}")
        for stage in chain(settings, bucket, lake):
            run_stage(stage, partition, "a-run")
    with connect(lake, settings) as connection:
        clips = connection.sql(
            "SELECT key, start_frame, end_frame, start_s, boundary, state, status, reasons "
            "FROM clips JOIN recordings USING (recording_id) LEFT JOIN verdicts USING (clip_id)"
        ).pl()
    return truth, clips


def shots_of(truth: Truth) -> list[FileTruth]:
    return [file for file in truth.files if not file.broken]


def spans_of(file: FileTruth, clips: pl.DataFrame) -> Iterator[tuple[StateSpan, pl.DataFrame]]:
    """Each stretch of a state with the clips whose middle lies in it."""
    middle = (pl.col("start_frame") + pl.col("end_frame")) / 2
    for shot in file.shots:
        for span in shot.states:
            inside = clips.filter(
                pl.col("key") == file.key, middle >= span.start_frame, middle < span.end_frame
            )
            assert not inside.is_empty(), (file.key, span)
            yield span, inside


def test_the_sample_holds_every_kind_of_fault(patrol: tuple[Truth, pl.DataFrame]) -> None:
    truth, _ = patrol
    planted = {shot.condition for file in shots_of(truth) for shot in file.shots}
    assert planted == {"good", "trot", "inspect", *REASONS}
    within = {
        span.state for file in shots_of(truth) for shot in file.shots for span in shot.states[1:]
    }
    assert within == {"dark", "covered", "blurred", "still", "moving"}


def test_every_cut_is_found_within_a_frame_and_none_is_invented(
    patrol: tuple[Truth, pl.DataFrame],
) -> None:
    truth, clips = patrol
    for file in shots_of(truth):
        cuts = clips.filter(key=file.key, boundary="cut")["start_frame"].sort().to_list()
        assert len(cuts) == len(file.cuts), file.key
        assert all(abs(found - true) <= 1 for found, true in zip(cuts, file.cuts, strict=True))


def test_every_change_of_state_is_found_within_half_a_second_and_none_is_invented(
    patrol: tuple[Truth, pl.DataFrame],
) -> None:
    truth, clips = patrol
    for file in shots_of(truth):
        of_file = clips.filter(pl.col("key") == file.key, ~pl.col("boundary").is_in(_NOT_SEEN))
        found = of_file.sort("start_s").select("start_s", "boundary").rows()
        assert [kind for _, kind in found] == [kind for _, kind in file.boundaries], file.key
        for (found_s, _), (true_s, _) in zip(found, file.boundaries, strict=True):
            assert abs(found_s - true_s) <= 0.5, file.key


def test_each_clip_is_in_the_state_that_it_shows(patrol: tuple[Truth, pl.DataFrame]) -> None:
    truth, clips = patrol
    for file in shots_of(truth):
        for span, inside in spans_of(file, clips):
            assert set(inside["state"]) == {span.state}, (file.key, span)


def test_each_clip_is_rejected_for_its_fault_and_good_ones_pass(
    patrol: tuple[Truth, pl.DataFrame],
) -> None:
    truth, clips = patrol
    for file in shots_of(truth):
        for span, inside in spans_of(file, clips):
            expected = [span.rejected_for] if span.rejected_for else []
            assert inside["reasons"].to_list() == [expected] * inside.height, (file.key, span)


def test_the_broken_file_is_a_failed_clip(patrol: tuple[Truth, pl.DataFrame]) -> None:
    truth, clips = patrol
    (broken,) = (file for file in truth.files if file.broken)
    assert clips.filter(key=broken.key)["status"].to_list() == ["failed"]
