"""Finding clips by words."""

from typing import Any

import pytest

from lakehouse.query.search import Filters, Query, search
from lakehouse.tables.partition import Partition
from tests.lakes import LENIENT, PARTITION, Site, film, key_of
from tests.queried import REAR, ROOMS, TUESDAY


def found(site: Site, text: str, limit: int = 10, **filters: Any) -> list[dict[str, Any]]:
    """Every clip that matches by words: none is folded into another that looks the same."""
    query = Query(text, by=("words",), fold=False)
    return search(site.lake, site.settings, query, Filters(**filters), limit).to_dicts()


def only(partition: Partition) -> dict[str, Any]:
    day = partition.day
    return {"first_day": day, "last_day": day, "cameras": (partition.camera,)}


def test_english_words_find_clips(lake: Site) -> None:
    hits = found(lake, "green")
    assert {hit["key"] for hit in hits} == {key_of(ROOMS), key_of("tuesday.mp4", TUESDAY)}
    assert all("green" in hit["text"] for hit in hits)


def test_chinese_words_find_clips(lake: Site) -> None:
    hits = found(lake, "画面")
    assert {hit["variant"] for hit in hits} == {"zh"}
    assert len(hits) == 4


def test_the_best_match_comes_first_and_each_clip_once(lake: Site) -> None:
    hits = found(lake, "green motion 画面")
    assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)
    assert len({hit["clip_id"] for hit in hits}) == len(hits)


def test_a_hit_says_where_its_clip_is(lake: Site) -> None:
    (hit,) = found(lake, "green", **only(PARTITION))
    assert (hit["key"], hit["day"], hit["camera"]) == (key_of(ROOMS), PARTITION.day, "rex-front")
    assert (hit["start_s"], hit["end_s"]) == (3.0, 5.0)


def test_filters_narrow_a_search(lake: Site) -> None:
    for partition in (PARTITION, TUESDAY, REAR):
        hits = found(lake, "motion", **only(partition))
        assert {(hit["day"], hit["camera"]) for hit in hits} == {(partition.day, partition.camera)}
    assert {hit["camera"] for hit in found(lake, "motion", cameras=("rex-rear",))} == {"rex-rear"}
    assert found(lake, "motion", cameras=("it's",)) == []


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_limit_is_kept(lake: Site, limit: int) -> None:
    assert len(found(lake, "motion", limit)) == min(limit, 4)


def test_only_clips_that_pass_today_are_found(copy: Site) -> None:
    lenient = copy.changed(thresholds=LENIENT)
    lenient.run()
    dark = key_of("dark.mp4")
    assert dark in {hit["key"] for hit in found(lenient, "motion")}
    assert dark not in {hit["key"] for hit in found(copy, "motion")}


def test_captions_of_clips_that_no_longer_pass_do_not_crowd_out_others(copy: Site) -> None:
    copy.put("halls.mp4", film(("hall", 40)))
    copy.run()
    (best,) = found(copy, "dim motion", 1)
    assert (best["key"], best["start_s"]) != (key_of(ROOMS), 0.0)
    strict = copy.changed(thresholds={"max_darkness": 0.4})
    strict.run()
    (hit,) = found(strict, "dim motion", 1, **only(PARTITION))
    assert (hit["key"], hit["start_s"]) == (key_of(ROOMS), 0.0)


@pytest.mark.parametrize(
    "text",
    ['"()*~ AND', '"', "(", "~", "mot*", "a AND", "NOT", "+motion -motion", "text:motion", "'",
     "\\", "\0", "，", "🐕", " ", "", "x" * 5000],
)  # fmt: skip
def test_odd_characters_are_only_characters(lake: Site, text: str) -> None:
    assert all(hit["text"] for hit in found(lake, text))
