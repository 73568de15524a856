"""Filters count before the search: what is found is what a search of only those clips finds."""

from datetime import time, timedelta

import polars as pl
import pytest

from benchmarks.synthetic_lake import CAMERAS, FIRST_DAY, NOUNS, clip_id, fill
from lakehouse.errors import UserError
from lakehouse.query import ranking
from lakehouse.query.asked import Filters, Query
from lakehouse.query.opened import Opened
from lakehouse.query.tables import embedding_tables
from lakehouse.settings import Settings, load_settings
from lakehouse.tables import vector_index
from lakehouse.tables.lake import open_lake
from lakehouse.tables.maintenance import maintain
from lakehouse.tables.schemas import CAPTIONS, CLIPS, RECORDINGS, SCORES, Table

CLIPS_MADE, DAYS, LIMIT = 3000, 5, 15
EXAMPLE = clip_id(1234)
SECOND = FIRST_DAY + timedelta(days=1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Made-up clips, indexed, a third of whose recordings say when they began: at 22:00."""
    folder = tmp_path_factory.mktemp("filters")
    settings: Settings = load_settings(lake=str(folder / "lake"), caption_embedders={})
    lake = open_lake(settings)
    fill(lake, settings, CLIPS_MADE, DAYS)
    evening = "arrow_cast('2026-01-01T22:00:00', 'Timestamp(Microsecond, None)')"
    lake.dataset(RECORDINGS).update({"start_time": evening}, where="robot = 'dog1'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_index, "LEAST_ROWS", 1000)
        for table in (CAPTIONS, *embedding_tables(settings).values()):
            maintain(lake, table, timedelta(0))
    return Opened(lake, settings)


def whole(opened: Opened, table: Table) -> pl.DataFrame:
    return pl.DataFrame(opened.lake.dataset(table).to_table())


def of_clip(opened: Opened) -> pl.DataFrame:
    """All that filters may be about, without any of our queries."""
    scores = whole(opened, SCORES).select("clip_id", "sharpness_p50")
    recordings = whole(opened, RECORDINGS).select("recording_id", "robot", "start_time", "key")
    clips = whole(opened, CLIPS).select("clip_id", "recording_id", "day", "camera", "start_s")
    return clips.join(scores, on="clip_id").join(recordings, on="recording_id")


def by_brute_force(opened: Opened, allowed: pl.DataFrame) -> list[str]:
    (table,) = embedding_tables(opened.settings).values()
    rows = whole(opened, table)
    vectors = dict(zip(rows["clip_id"], rows["vector"].to_numpy(), strict=True))
    ids = [clip for clip in allowed["clip_id"] if clip != EXAMPLE]
    cosines = {clip: float(vectors[clip] @ vectors[EXAMPLE]) for clip in ids}
    return sorted(ids, key=lambda clip: -cosines[clip])[:LIMIT]


SHARP = pl.col("sharpness_p50") >= 0.35
CASES: dict[str, tuple[Filters, pl.Expr]] = {
    "none": (Filters(), SHARP),
    "any verdict": (Filters(verdict="any"), pl.lit(True)),
    "rejected": (Filters(verdict="rejected"), ~SHARP),
    "a day": (Filters(first_day=SECOND, last_day=SECOND), SHARP & (pl.col("day") == SECOND)),
    "from a day on": (Filters(first_day=SECOND), SHARP & (pl.col("day") >= SECOND)),
    "two cameras": (Filters(cameras=CAMERAS[:2]), SHARP & pl.col("camera").is_in(CAMERAS[:2])),
    "a robot": (Filters(robot="dog2"), SHARP & (pl.col("robot") == "dog2")),
    "at night": (
        Filters(from_time=time(22, 1), until_time=time(4)),
        SHARP & pl.col("start_time").is_not_null() & (pl.col("start_s") >= 60),
    ),
    "a score": (Filters(where="sharpness_p50 > 0.9"), pl.col("sharpness_p50") > 0.9),
    "nothing": (Filters(where="false -- ever"), pl.lit(False)),
    "much at once": (
        Filters(first_day=SECOND, cameras=CAMERAS[:6], where="sharpness_p50 < 0.5"),
        SHARP
        & (pl.col("day") >= SECOND)
        & pl.col("camera").is_in(CAMERAS[:6])
        & (pl.col("sharpness_p50") < 0.5),
    ),
}


@pytest.mark.parametrize("few", [0, 2000], ids=["more and more rows", "given ids"])
@pytest.mark.parametrize(("filters", "condition"), CASES.values(), ids=CASES)
def test_what_is_found_is_what_is_found_after_filtering(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    filters: Filters,
    condition: pl.Expr,
    few: int,
) -> None:
    monkeypatch.setattr(ranking, "_FEW", few)
    found = opened.search(Query(clip_id=EXAMPLE, fold=False), filters, LIMIT)
    expected = by_brute_force(opened, of_clip(opened).filter(condition))
    assert found["clip_id"].to_list() == expected


@pytest.mark.parametrize(("filters", "condition"), CASES.values(), ids=CASES)
def test_words_are_found_in_all_clips_of_the_filters(
    opened: Opened, filters: Filters, condition: pl.Expr
) -> None:
    word = NOUNS[3]
    query = Query(word, by=("words",), fold=False)
    found = opened.search(query, filters, CLIPS_MADE)
    allowed = of_clip(opened).filter(condition)
    captions = whole(opened, CAPTIONS).filter(pl.col("text").str.contains(rf"\b{word}\b"))
    assert set(found["clip_id"]) == set(captions["clip_id"]) & set(allowed["clip_id"])


def test_without_a_question_the_newest_come_first(opened: Opened) -> None:
    found = opened.search(Query(), Filters(verdict="any"), LIMIT)
    assert found["day"].is_sorted(descending=True)
    assert found["day"][0] == of_clip(opened)["day"].max()
    assert found["score"].to_list() == [None] * LIMIT
    assert found["text"].null_count() == 0


def test_ways_are_fused_by_their_ranks(opened: Opened) -> None:
    query = Query(NOUNS[0], clip_id=EXAMPLE, fold=False)
    for row in opened.search(query, Filters(), LIMIT).iter_rows(named=True):
        assert row["score"] == pytest.approx(sum(1 / (60 + way["rank"]) for way in row["ways"]))
        assert {way["way"] for way in row["ways"]} <= {"words", "clip"}


def test_a_new_caption_is_found_at_once(opened: Opened) -> None:
    changed = f"caption_id = '{EXAMPLE}:default'"
    opened.lake.dataset(CAPTIONS).update({"text": "'a zebra'"}, where=changed)
    found = opened.search(Query("zebra", by=("words",)), Filters(verdict="any"), 5)
    assert found.select("clip_id", "text").rows() == [(EXAMPLE, "a zebra")]


@pytest.mark.parametrize(
    "where",
    [
        "nonsense > 1",
        "1 = 1) UNION SELECT * FROM clips_rows --",
        "clip_id IN (SELECT clip_id FROM clips_rows)",
        "key IN (SELECT content FROM read_text('/etc/passwd'))",
        "true; DROP VIEW clips",
        "(",
    ],
)
def test_a_condition_that_is_none_is_refused(opened: Opened, where: str) -> None:
    with pytest.raises(UserError):
        opened.search(Query(), Filters(where=where), 5)
