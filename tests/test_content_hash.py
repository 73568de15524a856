"""The content hash: the same for the same packets, however they are read, and for no others."""

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.settings import Profile
from lakehouse.video import one_pass
from lakehouse.video.content_hash import packets_hash
from lakehouse.video.one_pass import facts_of, run_one_pass, stream_spans
from lakehouse.video.packets import Reading
from lakehouse.video.probe import ProbeError, open_container, probe, video_stream
from tests import odd_videos
from tests.passes import SETTINGS
from tests.videos import B_FRAMES, FORMATS, moving, record, walked, with_damaged_packets

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
REAL = sorted(path for path in FOOTAGE.glob("*/*") if path.suffix in {".mp4", ".mov", ".avi"})
OPEN = {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0:bframes=3"}
FILM = list(walked(("walk", 3.0), ("still", 4.0), ("elsewhere", 3.0), width=80, height=48))
SPLITTABLE: dict[str, dict[str, Any]] = {
    "H.264": {},
    "H.264, B-frames": {"options": B_FRAMES},
    "H.264, open GOP": {"options": OPEN},
    "HEVC": {"codec": "libx265"},
    "with sound": {"options": B_FRAMES, "audio": "aac"},
    "fragmented": {"muxer_options": {"movflags": "frag_keyframe+empty_moov"}},
}
SHORT = record(moving(30), options=B_FRAMES)


def filmed(**arguments: Any) -> bytes:
    return record(FILM, **{"frame_rate": 10, "key_frame_every": 13} | arguments)


def read_through(data: bytes) -> str | None:
    return packets_hash(BytesIO(data), probe(BytesIO(data)).container)


def in_pass(data: bytes, profile: Profile = "exact", workers: int = 1) -> str | None:
    facts = facts_of(probe(BytesIO(data)))
    return run_one_pass(lambda: BytesIO(data), facts, SETTINGS, profile, workers).packets_hash


def hint(data: bytes) -> str | None:
    return probe(BytesIO(data)).first_packet_hash


def remuxed(data: bytes, **arguments: Any) -> bytes:
    """The same video packets at the same times in another MP4."""
    target = BytesIO()
    with av.open(BytesIO(data), "r") as one, av.open(target, "w", format="mp4", **arguments) as out:
        out.metadata["comment"] = "a copy"
        source = one.streams.video[0]
        stream = out.add_stream_from_template(source)
        for packet in one.demux(source):
            if packet.size:
                packet.stream = stream
                out.mux_one(packet)
    return target.getvalue()


def packet_bytes(data: bytes) -> list[int]:
    """The positions in an MP4 of all bytes of video packets."""
    with open_container(BytesIO(data), "mov") as opened:
        entries = [(entry.pos, entry.size) for entry in video_stream(opened).index_entries]
    return [at for pos, size in entries for at in range(pos, pos + size)]


POSITIONS = packet_bytes(SHORT)


@pytest.fixture
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "_SHORTEST_PART_S", 2.0)


@pytest.mark.parametrize("kind", FORMATS)
def test_read_through_and_in_every_pass_over_all_packets_it_is_the_same(kind: str) -> None:
    data = record(moving(40), **FORMATS[kind])
    found = read_through(data)
    assert found is not None
    assert len(bytes.fromhex(found)) == 16
    assert in_pass(data, "exact") == in_pass(data, "thrifty") == found


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("kind", SPLITTABLE)
def test_in_parts_it_is_that_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = filmed(**SPLITTABLE[kind])
    found = read_through(data)
    assert in_pass(data) == in_pass(data, "thrifty") == found
    monkeypatch.setattr(one_pass, "every_frame", None)
    for workers in (2, 3, 4):
        assert in_pass(data, workers=workers) == found


@pytest.mark.usefixtures("_short_parts")
def test_parts_that_do_not_add_up_leave_it_as_it_is() -> None:
    data = with_damaged_packets(filmed(), [40, 41])
    assert in_pass(data, workers=4) == in_pass(data) == read_through(data)


def test_a_preview_has_none() -> None:
    assert in_pass(SHORT, "preview") is None
    assert in_pass(record(moving(30), "mkv"), "preview") is None


def test_it_comes_after_the_last_span() -> None:
    data, reading = filmed(), Reading()
    spans = stream_spans(lambda: BytesIO(data), facts_of(probe(BytesIO(data))), SETTINGS, reading)
    next(spans)
    assert reading.packets_hash is None
    list(spans)
    assert reading.packets_hash == read_through(data)


@pytest.mark.parametrize("options", [B_FRAMES, {"bf": "0"}], ids=["B-frames", "no B-frames"])
def test_another_file_with_the_same_packets_is_known_again(options: dict[str, str]) -> None:
    data = filmed(options=options, audio="aac")
    copies = [remuxed(data), remuxed(data, options={"moov_size": "65536"})]
    assert len({data, *copies}) == 3
    assert {read_through(copy) for copy in copies} == {read_through(data)}
    assert {hint(copy) for copy in copies} == {hint(data)}


@given(st.sampled_from(POSITIONS), st.integers(0, 7))
def test_any_flipped_bit_of_a_packet_gives_another(position: int, bit: int) -> None:
    changed = bytearray(SHORT)
    changed[position] ^= 1 << bit
    assert packets_hash(BytesIO(changed), "mov") != packets_hash(BytesIO(SHORT), "mov")


@given(st.sampled_from(POSITIONS), st.integers(0, 7))
def test_bits_of_the_first_packet_tell_in_the_hint_too(position: int, bit: int) -> None:
    changed = bytearray(SHORT)
    changed[position] ^= 1 << bit
    with open_container(BytesIO(SHORT), "mov") as opened:
        first = video_stream(opened).index_entries[0]
        is_of_first = first.pos <= position < first.pos + first.size
    assert (hint(bytes(changed)) != hint(SHORT)) == is_of_first


def test_the_same_packets_at_other_times_or_of_another_configuration_give_another() -> None:
    slower = record(moving(30), options=B_FRAMES, frame_rate=20)
    assert read_through(slower) != read_through(SHORT)
    with open_container(BytesIO(SHORT), "mov") as opened:
        configuration = video_stream(opened).codec_context.extradata
    assert configuration
    level = SHORT.index(configuration) + 3
    other = SHORT[:level] + bytes([SHORT[level] + 1]) + SHORT[level + 1 :]
    assert read_through(other) != read_through(SHORT)
    assert hint(other) != hint(SHORT)


def test_frames_that_an_edit_list_hides_count_as_hidden(tmp_path: Path) -> None:
    edited = odd_videos.cut_by_edit_list(tmp_path).read_bytes()
    shown = edited.replace(b"edts", b"free")
    assert read_through(edited) != read_through(shown)
    assert read_through(edited) == in_pass(edited) == in_pass(edited, "thrifty")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_file_that_breaks_off_has_that_of_what_is_there(suffix: str) -> None:
    codec = "mpeg4" if suffix == "avi" else "libx264"
    index_first = {"moov_size": "65536"} if suffix == "mp4" else None
    data = record(moving(60), suffix, codec, muxer_options=index_first)
    short = data[: len(data) * 2 // 3]
    assert read_through(short) == in_pass(short) == in_pass(short, "thrifty") is not None
    assert read_through(short) != read_through(data)
    assert hint(short) == hint(data)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_the_hint_is_that_of_the_first_packet_of_any_container(suffix: str) -> None:
    codec = "mpeg4" if suffix == "avi" else "libx264"
    one, longer, other = (
        hint(record(moving(count, seed), suffix, codec))
        for count, seed in ((30, 1), (50, 1), (30, 2))
    )
    assert one is not None
    assert one == longer != other


@pytest.mark.skipif(not REAL, reason="real footage is not part of the repository")
@pytest.mark.parametrize("path", REAL, ids=[path.name for path in REAL])
def test_of_real_footage_it_is_the_same_twice(path: Path) -> None:
    try:
        found = probe(BytesIO(path.read_bytes()))
    except ProbeError:
        return
    with path.open("rb") as source:
        assert packets_hash(source, found.container) == read_through(path.read_bytes())
    assert found.first_packet_hash == hint(path.read_bytes()) is not None


@pytest.mark.skipif(not REAL, reason="real footage is not part of the repository")
@pytest.mark.usefixtures("_short_parts")
def test_of_real_footage_passes_agree() -> None:
    data = (FOOTAGE / "robot" / "cear_onboard_rgb_dark_to_light_DERIVED.mp4").read_bytes()
    assert in_pass(data, "thrifty") == in_pass(data, workers=4) == read_through(data)
