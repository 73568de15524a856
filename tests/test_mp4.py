import io
import random
import struct
import tracemalloc
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.video.cut import cut_clip
from lakehouse.video.key_frames import starts_decoding
from lakehouse.video.mp4.boxes import NotSliceable, box, boxes, only, read_index
from lakehouse.video.mp4.movie import Track, read_movie
from lakehouse.video.mp4.slicer import plan_span, slice_span
from tests.videos import B_FRAMES, moving, record

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
FRAMES = 60
OPEN_GOPS = {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-pyramid=normal"}
TIMES_MS = list(np.cumsum(random.Random(4).choices((17, 33, 40, 250), k=FRAMES)).tolist())
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}

MOVIES = {
    "no B-frames": {},
    "B-frames": {"options": B_FRAMES},
    "open GOPs": {"options": OPEN_GOPS},
    "gradual refresh": {"options": {"x264-params": "intra-refresh=1:scenecut=0"}},
    "variable frame rate, starting late": {"options": B_FRAMES, "times_ms": TIMES_MS},
    "rotated": {"options": B_FRAMES, "rotation_deg": 90},
    "HEVC, open GOPs": {"codec": "libx265", "options": {"x265-params": "keyint=12:log-level=none"}},
    "MPEG-4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "AV1": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "VP9": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "MOV": {"suffix": "mov", "options": B_FRAMES},
    "AAC": {"options": B_FRAMES, "audio": "aac"},
    "Opus": {"options": B_FRAMES, "audio": "libopus"},
}
_made: dict[str, bytes] = {}


def movie(kind: str) -> bytes:
    if kind not in _made:
        _made[kind] = record(moving(FRAMES), **MOVIES[kind])
    return _made[kind]


def cut_of(data: bytes, first: int, end: int) -> bytes:
    pts = sorted(read_movie(io.BytesIO(data)).video.samples.pts.tolist())
    target = io.BytesIO()
    cut_clip(io.BytesIO(data), "mov", pts[first], pts[end], target)
    return target.getvalue()


def as_listed_by_us(track: Track) -> list[tuple[int, int, int, bool]]:
    """Time, bytes, place, and whether it is shown, of each sample."""
    samples = track.samples
    shown = (samples.pts >= samples.shown_start) & (samples.pts < samples.shown_end)
    columns = (samples.pts, samples.size, samples.offset, shown)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def as_listed_by_ffmpeg(data: bytes, kind: str = "video") -> list[tuple[int, int, int, bool]]:
    with av.open(io.BytesIO(data), "r", format="mov", metadata_errors="replace") as container:
        stream = getattr(container.streams, kind)[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [(p.pts, p.size, p.pos, not p.is_discard) for p in packets]


@pytest.mark.parametrize("kind", MOVIES)
def test_samples_are_those_that_ffmpeg_reads(kind: str) -> None:
    found = read_movie(io.BytesIO(movie(kind)))
    assert as_listed_by_us(found.video) == as_listed_by_ffmpeg(movie(kind))
    if found.audio:
        # Of audio, what is shown may begin and end within a packet.
        listed = [packet[:3] for packet in as_listed_by_ffmpeg(movie(kind), "audio")]
        ours = [sample[:3] for sample in as_listed_by_us(found.audio)]
        assert ours[: len(listed)] == listed


@pytest.mark.parametrize("kind", MOVIES)
def test_samples_are_those_that_ffmpeg_reads_where_an_edit_list_hides_some(kind: str) -> None:
    data = cut_of(movie(kind), 7, 50)
    listed = as_listed_by_ffmpeg(data)
    assert as_listed_by_us(read_movie(io.BytesIO(data)).video)[: len(listed)] == listed
    assert sum(shown for *_, shown in listed) == 43


@pytest.mark.parametrize("kind", MOVIES)
def test_key_frames_are_those_that_ffmpeg_finds_in_the_data(kind: str) -> None:
    data = movie(kind)
    track = read_movie(io.BytesIO(data)).video
    with av.open(io.BytesIO(data), "r", format="mov", metadata_errors="replace") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [packet.is_keyframe for packet in packets]
    assert track.samples.is_key.tolist() == keys
    found = [
        starts_decoding(track.codec, memoryview(packet), track.configuration) for packet in packets
    ]
    assert found == ([True] + [False] * 59 if kind == "gradual refresh" else keys)


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(FOOTAGE.glob("*/*")) if p.suffix in {".mp4", ".mov"}],
    ids=lambda path: path.stem,
)
def test_samples_of_real_footage_are_those_that_ffmpeg_reads(path: Path) -> None:
    data = path.read_bytes()
    try:
        found = read_movie(io.BytesIO(data))
    except NotSliceable:
        assert path.parent.name == "broken"
        return
    assert as_listed_by_us(found.video) == as_listed_by_ffmpeg(data)


def test_of_a_file_only_the_index_a_key_frame_and_the_span_are_read() -> None:
    class Recorded(io.BytesIO):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            self.reads: list[tuple[int, int]] = []

        def read(self, size: int | None = -1, /) -> bytes:
            at, data = self.tell(), super().read(size)
            self.reads.append((at, len(data)))
            return data

    source = Recorded(movie("B-frames"))
    pts = sorted(read_movie(source).video.samples.pts.tolist())
    index_reads = len(source.reads)
    source.reads.clear()
    clip = slice_span(source, pts[20], pts[30])
    (_, key_bytes), (_, span_bytes) = source.reads[index_reads:]
    assert key_bytes < span_bytes == clip.bytes_copied < len(movie("B-frames")) / 2


@pytest.mark.parametrize(
    ("kind", "old", "new", "reason"),
    [
        ("AAC", b"avc1\0\0", b"encv\0\0", "format b'encv'"),
        ("AAC", b"mp4a\0\0", b"sowt\0\0", "format b'sowt'"),
        ("AAC", b"url \0\0\0\1", b"url \0\0\0\0", "another file"),
        ("AAC", b"stco", b"free", "no stco"),
        ("AAC", b"vide", b"meta", "no video track"),
        ("AAC", b"moov", b"free", "no moov"),
    ],
)
def test_what_cannot_be_sliced_is_left_to_a_demuxer(
    kind: str, old: bytes, new: bytes, reason: str
) -> None:
    data = movie(kind).replace(old, new)
    assert data != movie(kind)
    with pytest.raises(NotSliceable, match=reason):
        slice_span(io.BytesIO(data), 0, 10**6)


def test_a_fragmented_file_is_left_to_a_demuxer() -> None:
    data = record(moving(FRAMES), muxer_options=FRAGMENTED)
    with pytest.raises(NotSliceable, match="fragmented"):
        slice_span(io.BytesIO(data), 0, 10**6)


def patched(kind: str, table: bytes, at: int, *numbers: int) -> bytes:
    """A movie whose first such table holds these 32-bit numbers from a byte of its content on."""
    data = bytearray(movie(kind))
    start = data.index(table, data.index(b"moov")) + 4 + at
    struct.pack_into(f">{len(numbers)}I", data, start, *numbers)
    return bytes(data)


FORGED = {
    "more samples of one size than the file has bytes": (b"stsz", 4, 1, 2**32 - 1),
    "a count beyond the table's end": (b"stsz", 8, 2**32 - 1),
    "samples of no bytes": (b"stsz", 12, 0),
    "samples larger than the file": (b"stsz", 12, 2**31),
    "times for more samples than there are": (b"stts", 8, 2**32 - 1),
    "absurd durations": (b"stts", 12, 2**31),
    "more presentation times than the table holds": (b"ctts", 4, 2**32 - 1),
    "absurd presentation times": (b"ctts", 12, 2**30),
    "chunks of more samples than there are": (b"stsc", 12, 2**32 - 1),
    "chunks that start nowhere": (b"stsc", 8, 0),
    "several formats": (b"stsc", 16, 2),
    "more chunks than the table holds": (b"stco", 4, 2**32 - 1),
    "chunks past the end": (b"stco", 8, 2**32 - 1),
    "key frames that don't exist": (b"stss", 8, 0),
    "several descriptions": (b"stsd", 4, 2),
    "an edit of another speed": (b"elst", 16, 1 << 15),
    "an edit of no duration": (b"elst", 8, 0),
    "many edits": (b"elst", 4, 3),
    "no ticks in a second": (b"mdhd", 12, 0),
    "a box larger than what holds it": (b"stts", -8, 2**31),
}


@pytest.mark.parametrize("claim", FORGED)
def test_a_forged_index_is_refused_before_memory_is_set_aside(claim: str) -> None:
    data = patched("B-frames", *FORGED[claim])
    tracemalloc.start()
    with pytest.raises(NotSliceable):
        slice_span(io.BytesIO(data), 0, 10**6)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < len(data) + 2**20


def test_samples_that_share_bytes_are_refused() -> None:
    data = patched("B-frames", b"stsz", 12, *[len(movie("B-frames")) // 3] * 4)
    with pytest.raises(NotSliceable, match="sizes of samples don't fit"):
        slice_span(io.BytesIO(data), 0, 10**6)


@settings(max_examples=300, deadline=2000, derandomize=True)
@given(
    kind=st.sampled_from(["B-frames", "AAC", "HEVC, open GOPs"]),
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
    number=st.sampled_from([0, 1, 2, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
    | st.integers(0, 2**32 - 1),
)
def test_whatever_an_index_says_it_is_refused_or_read_as_ffmpeg_reads_it(
    kind: str, places: list[float], number: int
) -> None:
    data = bytearray(movie(kind))
    index_at = data.index(b"moov")
    for place in places:
        at = index_at + int(place * (len(data) - 4 - index_at))
        struct.pack_into(">I", data, at, number)
    try:
        listed = as_listed_by_us(read_movie(io.BytesIO(data)).video)
        slice_span(io.BytesIO(data), 0, 10**6)
        theirs = as_listed_by_ffmpeg(bytes(data))
    except (NotSliceable, FFmpegError):
        return
    shown = [sample for sample in listed if sample[3]]
    assert shown == [sample for sample in theirs if sample[3]]


def test_a_frame_that_is_wrongly_marked_as_key_frame_is_not_started_at() -> None:
    data = movie("B-frames").replace(b"stss", b"free")
    samples = read_movie(io.BytesIO(data)).video.samples
    assert samples.is_key.all()
    pts = sorted(samples.pts.tolist())
    clip = slice_span(io.BytesIO(data), pts[20], pts[22])
    assert clip.pre_roll_frames == 20 - 12


def test_hevc_with_parameter_sets_of_its_own_keeps_its_name() -> None:
    def name_in_clip(data: bytes) -> bytes:
        clip = b"".join(slice_span(io.BytesIO(data), 0, 10**6).parts)
        table = only(read_index(io.BytesIO(clip))[0], b"trak", b"mdia", b"minf", b"stbl", b"stsd")
        return next(boxes(table[8:])).kind

    repeated = {"x265-params": "repeat-headers=1:log-level=none"}
    data = record(moving(FRAMES), codec="libx265", options=repeated)
    assert data.count(b"hev1") == 1
    assert name_in_clip(data) == b"hvc1"
    other = bytearray(data)
    parameter_sets = read_movie(io.BytesIO(data)).video.samples.offset[0]
    other[parameter_sets + 7] ^= 1
    assert name_in_clip(bytes(other)) == b"hev1"


def test_a_box_is_read_as_it_was_written() -> None:
    written = box(b"abcd", b"12", b"345") + box(b"efgh")
    assert [(found.kind, bytes(found.content)) for found in boxes(memoryview(written))] == [
        (b"abcd", b"12345"),
        (b"efgh", b""),
    ]


def test_endless_boxes_are_not_walked() -> None:
    data = memoryview(box(b"free") * 10**5)
    with pytest.raises(NotSliceable, match="too many boxes"):
        list(boxes(data))
    assert len(list(islice(boxes(data), 100))) == 100
    with pytest.raises(NotSliceable, match="no moov"):
        read_index(io.BytesIO(bytes(data)))


@pytest.mark.parametrize("kind", MOVIES)
def test_a_plan_is_the_clip_before_its_media_is_read(kind: str) -> None:
    data = movie(kind)
    pts = sorted(read_movie(io.BytesIO(data)).video.samples.pts.tolist())
    planned = plan_span(io.BytesIO(data), pts[15], pts[45])
    media = b"".join(data[start:end] for start, end in planned.ranges)
    assert planned.head + media == cut_of(data, 15, 45)
    assert planned.size_bytes == len(planned.head) + len(media)
