"""The chain against ground truth: every planted cut and fault of the sample is found, no other."""

from datetime import date

import polars as pl
import pytest

from lakehouse.engine.local import run_stage
from lakehouse.query.views import all_tables, connect
from lakehouse.sample.footage import BUCKET_FOLDER, SampleOptions, write_sample
from lakehouse.sample.truth import REASONS, FileTruth, Truth
from lakehouse.settings import load_settings
from lakehouse.stages.chain import chain
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import open_lake
from lakehouse.tables.partition import Partition

# Three dogs with two spoiled shots each: every condition has its turn.
OPTIONS = SampleOptions(
    seed=29,
    width=240,
    height=136,
    fps=10,
    duration_s=35,
    days=(date(2026, 3, 2),),
    robots=("rex", "bella", "max"),
    cameras=("front",),
)


@pytest.fixture(scope="module")
def patrol(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, pl.DataFrame]:
    """The truth, and the clips with their verdicts as the chain sees them."""
    folder = tmp_path_factory.mktemp("patrol")
    truth = write_sample(folder, OPTIONS, workers=2)
    settings = load_settings(bucket=str(folder / BUCKET_FOLDER), lake=str(folder / "lake"))
    bucket, lake = open_bucket(settings.bucket, settings.s3), open_lake(settings)
    lake.bootstrap(all_tables(settings))
    for file in truth.files:
        partition = Partition(file.day, f"{file.robot}-{file.camera}")
        for stage in chain(settings, bucket, lake):
            run_stage(stage, lake, partition, "a-run")
    with connect(lake, settings) as connection:
        clips = connection.sql(
            "SELECT key, start_frame, end_frame, boundary, status, reasons "
            "FROM clips JOIN recordings USING (recording_id) LEFT JOIN verdicts USING (clip_id)"
        ).pl()
    return truth, clips


def shots_of(truth: Truth) -> list[FileTruth]:
    return [file for file in truth.files if not file.broken]


def test_the_sample_holds_every_kind_of_fault(patrol: tuple[Truth, pl.DataFrame]) -> None:
    truth, _ = patrol
    planted = {shot.condition for file in shots_of(truth) for shot in file.shots}
    assert planted == {"good", *REASONS}


def test_every_cut_is_found_within_a_frame_and_none_is_invented(
    patrol: tuple[Truth, pl.DataFrame],
) -> None:
    truth, clips = patrol
    for file in shots_of(truth):
        cuts = clips.filter(key=file.key, boundary="cut")["start_frame"].sort().to_list()
        assert len(cuts) == len(file.cuts), file.key
        assert all(abs(found - true) <= 1 for found, true in zip(cuts, file.cuts, strict=True))


def test_each_clip_is_rejected_for_its_fault_and_good_ones_pass(
    patrol: tuple[Truth, pl.DataFrame],
) -> None:
    truth, clips = patrol
    for file in shots_of(truth):
        for shot in file.shots:
            inside = clips.filter(
                pl.col("key") == file.key,
                pl.col("start_frame") >= shot.start_frame - 1,
                pl.col("end_frame") <= shot.end_frame + 1,
            )
            assert not inside.is_empty()
            expected = [shot.rejected_for] if shot.rejected_for else []
            assert inside["reasons"].to_list() == [expected] * inside.height, (file.key, shot)


def test_the_broken_file_is_a_failed_clip(patrol: tuple[Truth, pl.DataFrame]) -> None:
    truth, clips = patrol
    (broken,) = (file for file in truth.files if file.broken)
    assert clips.filter(key=broken.key)["status"].to_list() == ["failed"]
