"""How fast a large lake answers: `python -m benchmarks.search --clips 1000000`.

A lake of made-up clips is indexed by maintenance, opened once as a server does, and asked: a hybrid
search (words and an example clip, fused, duplicates folded), a filtered aggregate, a join of four
tables, and one page of a day and camera. Each stands beside the naive way, which reads whole tables
into Polars. Recall compares the fused ten with those of a search that looks at every vector; it is
taken under filters too, which an index of vectors finds hardest.
Prints JSON, with the machine's load, in milliseconds.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.synthetic_lake import (
    CAMERAS,
    CLIPS_PER_RECORDING,
    FIRST_DAY,
    NOUNS,
    clip_id,
    day_and_camera,
    fill,
)
from lakehouse.query.asked import Filters, Query
from lakehouse.query.hits import Way, ways
from lakehouse.query.opened import Opened
from lakehouse.query.ranking import best, fused
from lakehouse.query.resident import Lookups
from lakehouse.query.tables import all_tables, embedding_tables
from lakehouse.settings import load_settings
from lakehouse.tables.lake import open_lake
from lakehouse.tables.maintenance import maintain
from lakehouse.tables.schemas import CAPTIONS, CLIPS, RECORDINGS, SCORES

_WARM_UP = 10
_TOP = 10
_FIRST, _LAST = FIRST_DAY + timedelta(days=3), FIRST_DAY + timedelta(days=9)
_FILTERED = {
    "a week": Filters(first_day=_FIRST, last_day=_LAST),
    "a camera": Filters(cameras=CAMERAS[:1]),
    "rejected": Filters(verdict="rejected"),
    "a condition": Filters(where="sharpness_p50 > 0.93"),
}
_WEEK = f"BETWEEN DATE '{_FIRST}' AND DATE '{_LAST}'"
_AGGREGATE = f"""
    SELECT camera, count(*) AS clips, avg(sharpness_p50) AS sharpness FROM scores
    WHERE day {_WEEK} GROUP BY camera ORDER BY camera"""
_JOIN = f"""
    SELECT r.robot, count(*) AS clips, avg(s.sharpness_p50) AS sharpness
    FROM clips c JOIN recordings r USING (recording_id) JOIN scores s USING (clip_id)
        JOIN captions t USING (clip_id)
    WHERE c.day {_WEEK} AND r.day {_WEEK} AND s.day {_WEEK} AND t.day {_WEEK}
        AND s.sharpness_p50 > 0.5
    GROUP BY r.robot ORDER BY r.robot"""


def main() -> None:
    """Run it all in a temporary folder, or the lake that is left in `--folder`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--recall-questions", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the lake is made, and kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(options, options.folder or Path(temporary))
    print(json.dumps(report, indent=2))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    settings = load_settings(lake=str(folder / "lake"), caption_embedders={})
    lake = open_lake(settings)
    report: dict[str, Any] = {"clips": options.clips, "cores": os.cpu_count()}
    if not lake.exists(CLIPS):
        report["write_s"] = _seconds(lambda: fill(lake, settings, options.clips, options.days))
        report["maintain_s"] = {
            table.name: round(maintain(lake, table, timedelta(0)).wall_s, 1)
            for table in all_tables(settings)
        }
        report["load_while_made"] = os.getloadavg()
    report["load_before"] = os.getloadavg()
    opened = Opened(lake, settings)
    hybrid = [_hybrid(number, options.clips) for number in range(options.questions + _WARM_UP)]
    report["first_search_ms"] = 1000 * _seconds(lambda: opened.search(hybrid[0]))
    report["hybrid"] = _timed(lambda number: opened.search(hybrid[number]), len(hybrid))
    report["recall"] = _recall(opened, hybrid[: options.recall_questions], Filters())
    report["filtered"] = {
        name: {
            "clips": opened.eligible(filters).clips.height,
            **_timed(partial(_search, opened, hybrid, filters), 40),
            "recall": _recall(opened, hybrid[: options.recall_questions], filters),
        }
        for name, filters in _FILTERED.items()
    }
    report["aggregate"] = _timed(lambda _: opened.sql(_AGGREGATE).fetchall(), 40)
    report["join"] = _timed(lambda _: opened.sql(_JOIN).fetchall(), 40)
    pages = [_page(number, options.clips, options.days) for number in range(40)]
    report["page"] = _timed(lambda number: opened.search(Query(), pages[number], 50), len(pages))
    _beside_naive(opened, report, hybrid[0])
    report["load_after"] = os.getloadavg()
    return report


def _search(opened: Opened, questions: list[Query], filters: Filters, number: int) -> None:
    opened.search(questions[number % len(questions)], filters)


def _hybrid(number: int, clips: int) -> Query:
    random = np.random.default_rng(number)
    words = " ".join(NOUNS[at] for at in random.integers(0, len(NOUNS), 2))
    return Query(words, clip_id=clip_id(int(random.integers(0, clips))))


def _page(number: int, clips: int, days: int) -> Filters:
    recording = number * 997 % max(1, clips // CLIPS_PER_RECORDING)
    day, camera = day_and_camera(recording, clips, days)
    return Filters(first_day=day, last_day=day, cameras=(camera,))


def _recall(opened: Opened, questions: list[Query], filters: Filters) -> dict[str, float]:
    """Of the ten best, the share that looking at every vector finds too."""
    among = opened.eligible(filters)
    shares: dict[str, list[float]] = {"clip_vectors": [], "hybrid": []}
    for question in questions:
        asked = ways(opened.lake, opened.settings, question, Lookups(opened.lake))
        indexed = [(way.by.value, best(opened.lake, way, among, 60)) for way in asked]
        whole = [(way.by.value, best(opened.lake, _exact(way), among, 60)) for way in asked]
        for (name, found), (_, truth) in zip(indexed, whole, strict=True):
            if name == "clip":
                shares["clip_vectors"].append(_share(found["clip_id"], truth["clip_id"]))
        ours, theirs = ([clip.clip_id for clip in fused(found)] for found in (indexed, whole))
        shares["hybrid"].append(_share(pl.Series(ours), pl.Series(theirs)))
    return {name: round(statistics.mean(found), 4) for name, found in shares.items()}


def _exact(way: Way) -> Way:
    return Way(way.by, way.table, lambda where, count, _: way.find(where, count, None))


def _share(found: pl.Series, truth: pl.Series) -> float:
    ten = set(truth.head(_TOP))
    return len(ten & set(found.head(_TOP))) / len(ten)


def _beside_naive(opened: Opened, report: dict[str, Any], question: Query) -> None:
    """Add the time of the naive way to each figure, and how many times quicker the median is."""
    tables = {
        "hybrid": (CAPTIONS, *embedding_tables(opened.settings).values()),
        "aggregate": (SCORES, RECORDINGS),
        "join": (RECORDINGS, CLIPS, SCORES, CAPTIONS),
        "page": (RECORDINGS, CLIPS, SCORES),
    }
    for name, read in tables.items():

        def naive(name: str = name, read: Any = read) -> None:
            whole = [pl.DataFrame(opened.lake.dataset(table).to_table()) for table in read]
            _answer_naively(name, whole, question)

        naive_ms = 1000 * _seconds(naive)
        report[name]["naive_ms"] = round(naive_ms, 1)
        report[name]["times_quicker"] = round(naive_ms / report[name]["p50_ms"], 1)


def _answer_naively(name: str, frames: list[pl.DataFrame], question: Query) -> None:
    week = pl.col("day").is_between(_FIRST, _LAST)
    if name == "hybrid":
        captions, embeddings = frames
        counted = [captions["text"].str.contains(word) for word in (question.text or "").split()]
        captions.with_columns(score=sum(counts.cast(pl.Int32) for counts in counted)).top_k(
            60, by="score"
        )
        vectors = embeddings["vector"].to_numpy()
        asked = vectors[int(embeddings["clip_id"].index_of(question.clip_id) or 0)]
        np.argsort(-(vectors @ asked))[:60]
    elif name == "aggregate":
        frames[0].filter(week).group_by("camera").agg(pl.col("sharpness_p50").mean())
    elif name == "join":
        recordings, clips, scores, captions = frames
        joined = clips.join(recordings, on="recording_id", suffix="_of_recording").join(
            scores, on="clip_id", suffix="_of_score"
        )
        joined = joined.join(captions, on="clip_id", suffix="_of_caption")
        joined.filter(week).group_by("robot").agg(pl.col("sharpness_p50").mean())
    else:
        recordings, clips, scores = frames
        joined = clips.join(recordings, on="recording_id", suffix="_of_recording").join(
            scores, on="clip_id", suffix="_of_score"
        )
        joined.filter(pl.col("day") == FIRST_DAY).top_k(50, by=["key", "start_s"])


def _timed(ask: Callable[[int], object], times: int) -> dict[str, float]:
    taken = [1000 * _seconds(partial(ask, number)) for number in range(times)]
    warm = taken[min(_WARM_UP, times // 2) :]
    p50, p95 = np.quantile(warm, [0.5, 0.95])
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1), "of": len(warm)}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
