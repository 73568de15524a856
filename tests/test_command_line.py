"""The command `lakehouse`, run as people run it: its own process, its exit code, its words."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import polars as pl
import pytest

from tests.commands import Answer
from tests.lakes import film

ROOT = Path(__file__).parent.parent
SHOTS = (("yard", 2.0), ("hall", 2.0), ("cellar", 2.0))


Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket with a good film, a broken one and a key of no partition, ingested once."""
    folder = tmp_path_factory.mktemp("command-line")
    for key, data in {
        "rex/front/2026-01-02/good.mp4": film(*SHOTS),
        "rex/front/2026-01-02/broken.mp4": b"no video at all",
        "rex/rear/2026-01-03/good.mp4": film(("shed", 3.0)),
        "rex/front/some-day/lost.mp4": b"",
    }.items():
        file = folder / "bucket" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (folder / "lakehouse.toml").write_text(
        f'bucket = "{folder / "bucket"}"\nlake = "{folder / "lake"}"\n'
        "[clips]\nmin_clip_s = 1.0\nsample_interval_s = 0.2\n"
    )
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs a command in the folder, its settings file being there."""

    def command(*arguments: str, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-c", "from assets.command_line.app import main; main()", *arguments],
            cwd=folder,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("LAKEHOUSE_")},
                "DAGSTER_HOME": str(folder / "dagster"),
                "PYTHONPATH": str(ROOT),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    return command


@pytest.fixture(scope="module")
def ingested(run: Run) -> Answer:
    return run("ingest")


@pytest.mark.usefixtures("ingested")
class TestALake:
    def test_ingest_counts_broken_footage_and_goes_on(self, ingested: Answer) -> None:
        assert ingested.code == 0
        assert "2 rows with errors, 0 runs failed" in ingested.err  # the recording and its clip

    def test_ingest_shows_keys_of_no_partition(self, ingested: Answer) -> None:
        assert "1 keys belong to no partition" in ingested.err
        assert "rex/front/some-day/lost.mp4" in ingested.err

    def test_a_second_ingest_finds_no_work(self, run: Run) -> None:
        again = run("ingest")
        assert again.code == 0
        assert "0 partitions have work, 2 are up to date" in again.err

    def test_sql_prints_one_json_array_of_objects(self, run: Run) -> None:
        rows = run(
            "sql", "SELECT key, day, error FROM recordings ORDER BY key", "--format", "json"
        ).json
        assert [row["key"] for row in rows] == [
            "rex/front/2026-01-02/broken.mp4",
            "rex/front/2026-01-02/good.mp4",
            "rex/rear/2026-01-03/good.mp4",
        ]
        assert rows[0]["day"] == "2026-01-02"
        assert "not a video" in str(rows[0]["error"])

    def test_sql_writes_csv(self, run: Run) -> None:
        out = run("sql", "SELECT day, camera FROM recordings ORDER BY key", "--format", "csv").out
        assert out.splitlines()[:2] == ["day,camera", "2026-01-02,rex-front"]

    def test_sql_writes_parquet_into_a_file(self, run: Run, folder: Path) -> None:
        query = "SELECT clip_id, vector FROM embeddings"
        assert run("sql", query, "--format", "parquet", "--out", "vectors.parquet").code == 0
        assert pl.read_parquet(folder / "vectors.parquet").columns == ["clip_id", "vector"]

    def test_search_takes_filters_and_an_example(self, run: Run) -> None:
        found = run("search", "--camera", "rex-front", "--verdict", "any", "--format", "json").json
        example = str(next(row["clip_id"] for row in found))
        like = run("search", "--like", example, "--where", "start_s = 0", "--format", "json").json
        assert {row["start_s"] for row in like} == {0.0}
        assert example not in {row["clip_id"] for row in like}

    def test_status_shows_where_seconds_went(self, run: Run) -> None:
        shown = run("status").out
        assert "rex-front" in shown
        assert "dark 2.0" in shown
        assert "0:09.0 of footage, 0:07.0 passed" in shown

    @pytest.mark.parametrize("words", ["motion", "运动"])
    def test_search_finds_clips_by_words_of_two_languages(self, run: Run, words: str) -> None:
        found = run("search", words, "--format", "json").json
        assert len(found) == 3  # the dark clip does not pass and is not found

    def test_clip_writes_the_frames_of_the_clip(self, run: Run, folder: Path) -> None:
        wanted = run(
            "sql",
            "SELECT clip_id FROM clips WHERE start_frame = 20 AND status = 'kept'",
            "--format",
            "json",
        ).json[0]["clip_id"]
        assert run("clip", str(wanted), "out.mp4").code == 0
        with av.open(str(folder / "out.mp4")) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 20

    def test_an_ingest_keeps_the_reports_of_its_days(self, run: Run) -> None:
        rows = run(
            "sql",
            "SELECT day, recordings FROM daily_reports WHERE is_total ORDER BY day",
            "--format",
            "json",
        ).json
        assert [(row["day"], row["recordings"]) for row in rows] == [
            ("2026-01-02", 2),
            ("2026-01-03", 1),
        ]

    def test_report_prints_a_day_as_markdown(self, run: Run) -> None:
        shown = run("report", "2026-01-02").out
        assert "| rex-front | 2 | 0:06.0 | 0:04.0 | 0:02.0 |" in shown
        assert "| dark 0:02.0 |" in shown

    def test_report_without_a_day_is_of_the_latest(self, run: Run) -> None:
        assert run("report").out.startswith("**2026-01-03**")

    def test_export_writes_what_a_search_finds(self, run: Run, folder: Path) -> None:
        answer = run("export", "found", "--search", "motion", "--camera", "rex-front")
        assert answer.code == 0
        assert "2 clips written" in answer.out
        assert len(list((folder / "found").glob("rex-front_2026-01-02_*.mp4"))) == 2

    def test_export_of_a_failed_clip_is_exit_code_1_and_the_others_are_there(
        self, run: Run, folder: Path
    ) -> None:
        answer = run("export", "all", "--sql", "SELECT clip_id FROM clips")
        assert answer.code == 1
        assert "not a video" in answer.err
        assert len(list((folder / "all").glob("*.mp4"))) == 4

    def test_doctor_finds_nothing_wrong(self, run: Run) -> None:
        report = run("doctor")
        assert report.code == 0
        assert "absent torch" in report.out or "ok     torch" in report.out
        assert "3 of its first 4 keys fit" in report.out


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["ingest", "--day", "2026-02-30"], {}, "2026-02-30"),
        (["ingest", "--camera", "a|b"], {}, "'|'"),
        (["search", "--from-time", "dusk"], {}, "dusk"),
        (["search", "--image", "no.jpg"], {}, "no.jpg"),
        (["ingest"], {"LAKEHOUSE_BUCKET": "no/such/folder"}, "no/such/folder"),
        (["ingest"], {"LAKEHOUSE_KEY_PATTERN": "{robot}/{lens}"}, "{robot}/{lens}"),
        (["ingest"], {"LAKEHOUSE_NONSENSE": "1"}, "LAKEHOUSE_NONSENSE"),
        (["ingest"], {"LAKEHOUSE_SETTINGS": "none.toml"}, "none.toml"),
        (["ingest"], {"DAGSTER_HOME": "no/such/home", "LAKEHOUSE_LAKE": "new"}, "no/such/home"),
        (["status"], {"LAKEHOUSE_LAKE": "no/such/lake"}, "lakehouse ingest"),
        (["status"], {"LAKEHOUSE_THRESHOLDS__MAX_NOISE": "loud"}, "thresholds.max_noise"),
        (["status"], {"LAKEHOUSE_LAKE": "ftp://somewhere"}, "ftp://somewhere"),
        (["sql", "SELEC 1"], {}, "SELEC"),
        (["sql", "DROP VIEW clips"], {}, "read-only"),
        (["clip", "no-such-clip", "x.mp4"], {}, "no-such-clip"),
        (["report", "yesterday"], {}, "yesterday"),
        (["export", "x"], {}, "--search"),
        (["export", "x", "an-id", "--sql", "SELECT 1"], {}, "which clips"),
        (["export", "x", "--sql", "SELECT key FROM recordings"], {}, "clip_id"),
        (["export", "x", "--search", "xylophone"], {}, "no clip is selected"),
        (["export", "x", "an-id", "--day", "2026-01-02"], {}, "--day"),
        (["sample", "x", "--size", "big"], {}, "--size big"),
        (
            ["ingest"],
            {
                "LAKEHOUSE_BUCKET": "s3://footage",
                "LAKEHOUSE_S3__ENDPOINT": "http://127.0.0.1:9",
                "AWS_ACCESS_KEY_ID": "somebody",
                "AWS_SECRET_ACCESS_KEY": "very-secret",
                "AWS_MAX_ATTEMPTS": "1",
            },
            "http://127.0.0.1:9",
        ),
    ],
)
@pytest.mark.usefixtures("ingested")
def test_a_mistake_is_one_line_that_names_it(
    run: Run, arguments: list[str], environment: dict[str, str], named: str
) -> None:
    answer = run(*arguments, **environment)
    assert answer.code == 2
    assert len(answer.err.strip().splitlines()) == 1
    assert answer.err.startswith("error: ")
    assert named in answer.err
    assert "very-secret" not in answer.err


def test_a_run_that_fails_is_exit_code_1(run: Run, folder: Path) -> None:
    captioner = (
        '\n[captioners.default]\nbackend = "openai"\nmodel = "m"\n'
        'base_url = "http://127.0.0.1:9/v1"\nmax_retries = 0\n'
    )
    settings = folder / "unreachable.toml"
    settings.write_text((folder / "lakehouse.toml").read_text() + captioner)
    answer = run("ingest", LAKEHOUSE_SETTINGS=str(settings), LAKEHOUSE_LAKE="another-lake")
    assert answer.code == 1
    assert "http://127.0.0.1:9/v1" in answer.err
    assert "2 runs failed" in answer.err


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "http://me:pass-word@127.0.0.1:9/v1"])
def test_doctor_finds_a_captioner_that_does_not_answer_and_shows_no_password(
    run: Run, folder: Path, address: str
) -> None:
    settings = folder / "captioner.toml"
    settings.write_text(
        (folder / "lakehouse.toml").read_text()
        + f'[captioners.site]\nbackend = "openai"\nmodel = "m"\nbase_url = "{address}"\n'
    )
    report = run("doctor", LAKEHOUSE_SETTINGS=str(settings))
    assert report.code == 1
    (wrong,) = (line for line in report.out.splitlines() if line.startswith("wrong"))
    assert "captioner site" in wrong
    assert "pass-word" not in report.out + report.err


def test_doctor_tells_what_to_install_for_a_model_and_which_folder_holds_none(
    run: Run, folder: Path
) -> None:
    settings = folder / "models.toml"
    settings.write_text(
        (folder / "lakehouse.toml").read_text()
        + '[captioners.local]\nbackend = "vllm"\nmodel = "/no/such/model"\n'
        + '[embedders.siglip]\nbackend = "transformers"\nmodel = "/no/such/model"\n'
        + '[caption_embedders.own]\nbackend = "sentences"\nmodel = "/no/such/model"\n'
    )
    report = run("doctor", LAKEHOUSE_SETTINGS=str(settings))
    assert report.code == 1
    wrong = [line for line in report.out.splitlines() if line.startswith("wrong")]
    named = {line.removeprefix("wrong").split(":")[0].strip() for line in wrong}
    assert named >= {"captioner local", "embedder siglip", "caption embedder own"}
    assert all("/no/such/model" in line or "pip install" in line for line in wrong)


def test_doctor_names_the_baselines_that_need_nothing(run: Run, folder: Path) -> None:
    report = run("doctor", LAKEHOUSE_SETTINGS=str(folder / "lakehouse.toml"))
    assert "captioner default: measured baseline, needs nothing" in report.out
    assert "embedder default: handcrafted baseline, needs nothing" in report.out
