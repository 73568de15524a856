"""Damage: lost stretches are spans of their own, the rest is kept, and every packet is counted.

Which frames the decoder still gives is `test_decode`.
"""

from pathlib import Path
from typing import Any

import pytest

from lakehouse.video.tiling import tiles
from tests import odd_videos
from tests.passes import FRAMES, WALK, film, passed, spans_of
from tests.videos import B_FRAMES, moving, record, walked, with_damaged_packets, with_lost_stretch

HEVC = {"x265-params": "log-level=none:pools=1:keyint=10:min-keyint=10:bframes=3"}
LOST: dict[str, dict[str, Any]] = {
    "H.264, MP4": {},
    "H.264, B-frames, MP4": {"options": B_FRAMES},
    "HEVC, MP4": {"codec": "libx265", "options": HEVC},
    "H.264, TS": {"suffix": "ts"},
    "HEVC, TS": {"suffix": "ts", "codec": "libx265", "options": HEVC},
}


@pytest.mark.parametrize("kind", LOST)
def test_a_stretch_of_lost_packets_is_a_lost_span_between_good_ones(kind: str) -> None:
    arguments: dict[str, Any] = {"frame_rate": 10, "key_frame_every": 10} | LOST[kind]
    data = record(walked(("walk", 20.0)), **arguments)
    result, found = passed(with_lost_stretch(data, 83, 15), WALK)
    spans = spans_of(result)
    assert tiles(spans)
    assert [span.is_lost for span in spans].count(True) == 1
    number = next(number for number, span in enumerate(spans) if span.is_lost)
    lost = spans[number]
    assert (lost.boundary, spans[number + 1].boundary) == ("damage", "damage")
    start_s = float((lost.start_pts - found.start_pts) * found.time_base)
    end_s = float((lost.end_pts - found.start_pts) * found.time_base)
    assert start_s == pytest.approx(8.3, abs=0.31)
    assert 9.5 <= end_s <= 10.31  # or the next key frame
    assert 20 * 10 - 21 <= spans[-1].end_frame <= 20 * 10 - 14
    assert spans[0].start_frame == 0
    assert result.spans[number].samples == ()
    assert result.spans[number].frames == ()
    assert result.spans[number].state is None
    assert {s.state for s in result.spans[:number]} == {"moving"}
    assert result.spans[-1].state == "moving"
    assert result.damage.packets > 0
    assert result.damage.first_error


@pytest.mark.parametrize("kind", LOST)
def test_a_single_lost_packet_loses_no_span_and_is_counted(kind: str) -> None:
    arguments: dict[str, Any] = {"frame_rate": 10, "key_frame_every": 10} | LOST[kind]
    data = record(walked(("walk", 12.0)), **arguments)
    result, _ = passed(with_lost_stretch(data, 63, 1), WALK)
    spans = spans_of(result)
    assert tiles(spans)
    assert not any(span.is_lost for span in spans)
    assert "damage" not in {span.boundary for span in spans}
    assert spans[-1].end_frame == 119
    assert sum(sampled.packets_lost for sampled in result.spans) == result.damage.packets > 0


def test_a_damaged_tail_keeps_the_good_part() -> None:
    data = record(film())
    whole, _ = passed(data)
    result, found = passed(with_damaged_packets(data, range(90, FRAMES)))
    assert result.damage.packets == FRAMES - 90
    spans = spans_of(result)
    assert tiles(spans)
    assert spans[-1].end_frame == 90
    assert spans[-1].end_pts * found.time_base * 25 == 90
    assert result.spans[0] == whole.spans[0]


def test_short_damage_in_the_middle_leaves_no_gap_between_spans() -> None:
    result, _ = passed(with_damaged_packets(record(film()), range(72, 84)))
    spans = spans_of(result)
    assert tiles(spans)
    assert spans[-1].end_frame == FRAMES - 12
    assert result.damage.packets == 12


def test_a_file_cut_short_gives_the_frames_that_arrived(tmp_path: Path) -> None:
    result, found = passed(odd_videos.cut_short(tmp_path).read_bytes())
    spans = spans_of(result)
    assert tiles(spans)
    assert odd_videos.FRAMES / 3 < spans[-1].end_frame < odd_videos.FRAMES * 2 / 3
    assert spans[-1].end_pts == pytest.approx(spans[-1].end_frame / 25 / found.time_base)
    assert not any(span.is_lost for span in spans)


def test_nothing_decodable_gives_no_span_and_the_reason() -> None:
    data = record(moving(20))
    result, _ = passed(with_damaged_packets(data, range(20)))
    assert result.spans == ()
    assert result.damage.first_error == "Invalid data found when processing input"
