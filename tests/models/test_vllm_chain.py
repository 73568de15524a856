"""Footage captioned through the whole chain by a tiny model: in this process, behind vLLM's server,
and by an ingest that is killed.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.place import Place, kill
from lakehouse.tables.lake import TableMissingError, open_lake
from lakehouse.tables.schemas import CAPTIONS, CLIPS
from tests.lakes import LENIENT, Site, film, site
from tests.models import tiny_settings

PLACES = ("yard", "hall", "shed")
FILMS, SHOTS = 3, 8
SHORT_TOKENS = 120
"""Some answers of the tiny model are longer, and so are errors."""
DEADLINE_S = 300.0
LOOK_EVERY_S = 0.05
SAID = (
    *("caption_id", "clip_id", "text", "environment", "objects", "signs", "conditions"),
    *("dynamics", "risks", "error", "raw_answer", "tokens_in", "tokens_out"),
)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A bucket of films, no two shots of which are alike, and a lake without tables."""
    made = site(tmp_path_factory.mktemp("footage"), thresholds=LENIENT, caption_embedders={})
    for number in range(FILMS):
        shots = [(PLACES[shot % 3], 1.8 + 0.1 * (number + shot)) for shot in range(SHOTS)]
        made.put(f"{number}.mp4", film(*shots))
    return made


@pytest.fixture(scope="module")
def in_process(footage: Site, tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Captioned by vLLM in this process."""
    settings = tiny_settings.of_engine(tiny_vlm, max_tokens=SHORT_TOKENS)
    lake = tmp_path_factory.mktemp("in-process")
    here = footage.changed(lake=str(lake), captioners={"seen": settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        here.run()
    return here


def served(footage: Site, base_url: str, lake: Path, **changes: Any) -> Site:
    """To be captioned by a server."""
    settings = tiny_settings.of_server(base_url, max_tokens=SHORT_TOKENS, **changes)
    return footage.changed(lake=str(lake), captioners={"seen": settings})


def place_of(of: Site, folder: Path) -> Place:
    (folder / "place").mkdir()
    return Place(folder / "place", of.settings)


def said(of: Site) -> list[dict[str, Any]]:
    """What stands in each caption, whatever way it came."""
    return of.rows(CAPTIONS, *SAID)


def written(of: Site) -> dict[str, tuple[str, str]]:
    """For each caption the run that wrote it, and the hash of what it says."""
    rows = of.rows(CAPTIONS, "caption_id", "run_id", "content_hash")
    found = {row["caption_id"]: (row["run_id"], row["content_hash"]) for row in rows}
    assert len(found) == len(rows), "a caption is there twice"
    return found


def caption_count(of: Site) -> int:
    try:
        return open_lake(of.settings).dataset(CAPTIONS).count_rows()
    except TableMissingError:
        return 0


def test_every_clip_has_a_caption_that_fits_its_schema_or_an_error(in_process: Site) -> None:
    rows = said(in_process)
    clips = {row["clip_id"] for row in in_process.rows(CLIPS, "clip_id")}
    assert len(clips) >= FILMS * SHOTS
    assert {row["clip_id"] for row in rows} == clips
    failed = [row for row in rows if row["error"]]
    assert 0 < len(failed) < len(rows) / 2
    assert all(row["text"] is None and row["raw_answer"] for row in failed)
    for row in rows:
        if row["error"] is None:
            assert 1 <= len(row["text"]) <= 1200
            for name in ("signs", "dynamics", "risks"):
                assert len(row[name]) <= 12
                assert all(len(phrase) <= 200 for phrase in row[name])


def test_captions_are_the_same_in_this_process_and_behind_a_server(
    in_process: Site, footage: Site, vllm_url: str, tmp_path: Path
) -> None:
    here = served(footage, vllm_url, tmp_path / "lake")
    place_of(here, tmp_path).run(here.settings, "ingest")
    assert said(here) == said(in_process)


def test_a_killed_ingest_keeps_its_captions_and_the_next_makes_the_others_once(
    in_process: Site, footage: Site, vllm_url: str, tmp_path: Path
) -> None:
    here = served(footage, vllm_url, tmp_path / "lake", max_in_flight=1)
    place = place_of(here, tmp_path)
    command = place.start(here.settings, "ingest")
    deadline = time.monotonic() + DEADLINE_S
    while not caption_count(here):
        assert command.poll() is None, place.said()
        assert time.monotonic() < deadline
        time.sleep(LOOK_EVERY_S)
    kill(command)
    before = written(here)
    wanted = {row["caption_id"] for row in said(in_process)}
    assert 0 < len(before) < len(wanted)

    place.run(here.settings, "ingest")
    after = written(here)
    assert after.keys() == wanted
    assert {caption_id: after[caption_id] for caption_id in before} == before
    runs_before = {run_id for run_id, _ in before.values()}
    assert all(after[caption_id][0] not in runs_before for caption_id in wanted - before.keys())
    assert said(here) == said(in_process)
