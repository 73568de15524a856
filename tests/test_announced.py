"""Announced ranges: fetched ahead, in parallel, once and exactly, and given up when passed over.

Reading without an announcement is `test_ranged`.
"""

import threading
from pathlib import Path

import av
from av.video.frame import PictureType
from hypothesis import given

from lakehouse.storage.announced import Announced
from lakehouse.storage.downloads import IN_FLIGHT
from lakehouse.storage.pieces import LARGEST_PIECE_BYTES, SMALL_BYTES
from lakehouse.storage.runs import AHEAD_BYTES, BLOCK_BYTES
from lakehouse.storage.s3 import S3Bucket
from tests.sources import (
    DATA,
    MIB,
    PATIENCE_S,
    Source,
    Span,
    held_bytes,
    no_thread_is_left,  # noqa: F401, watches every test here
    opened,
    ranges,
    read_on,
)


class TestExpecting:
    key_frames = tuple((start, start + 111_111) for start in range(1000, len(DATA), MIB))

    def test_announced_ranges_are_fetched_once_and_exactly(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.expect(self.key_frames)
            for start, end in self.key_frames:
                file.seek(start)
                assert file.read(end - start) == DATA[start:end]
            assert file.bytes_read == sum(end - start for start, end in self.key_frames)
        assert sorted(source.asked) == list(self.key_frames)

    def test_they_are_fetched_in_parallel_before_the_first_read(self) -> None:
        open_gate = threading.Event()

        def hold(_at: int) -> None:
            assert open_gate.wait(PATIENCE_S)

        source = Source(hold)
        with opened(source.fetch) as file:
            file.expect(self.key_frames)
            source.wait(lambda: source.active == IN_FLIGHT)
            assert sorted(source.asked) == list(self.key_frames[:IN_FLIGHT])
            open_gate.set()

    def test_no_more_than_the_window_is_fetched_before_it_is_read(self) -> None:
        with opened(Source().fetch) as file:
            file.expect([(0, len(DATA))])
            assert held_bytes(file) == AHEAD_BYTES

    def test_near_neighbours_are_one_request(self) -> None:
        source = Source()
        near, far = SMALL_BYTES - 1, SMALL_BYTES
        with opened(source.fetch) as file:
            file.expect([(0, 10), (10 + near, 100_000), (100_000 + far, 200_000)])
            file.seek(100_000 + far)
            assert file.read(10) == DATA[100_000 + far :][:10]
            source.wait(lambda: not source.active and len(source.asked) == 2)
        assert sorted(source.asked) == [(0, 100_000), (100_000 + far, 200_000)]

    def test_anything_else_is_read_by_small_ranges(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.expect([(0, 10)])
            file.seek(MIB + 5)
            assert file.read(10) == DATA[MIB + 5 :][:10]
        assert (MIB + 5, MIB + 5 + SMALL_BYTES) in source.asked

    def test_read1_ends_with_an_announced_range_and_fetches_nothing_beyond(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.expect([(1000, 5000)])
            file.seek(1000)
            assert file.read1(SMALL_BYTES) == DATA[1000:5000]
        assert source.asked == [(1000, 5000)]

    def test_ranges_that_are_passed_over_are_given_up(self) -> None:
        passed_over = threading.Event()

        def hold(at: int) -> None:
            if at < 32 * MIB:
                assert passed_over.wait(PATIENCE_S)

        source = Source(hold)
        with opened(source.fetch) as file:
            file.expect(self.key_frames)
            source.wait(lambda: source.active == IN_FLIGHT)
            start, end = self.key_frames[40]
            file.seek(start)
            assert file.read(end - start) == DATA[start:end]  # though no thread is free
            passed_over.set()
            source.wait(lambda: source.active == 0)
            asked_before = [span for span in source.asked if span < (start, end)]
            assert asked_before == sorted(asked_before) == list(self.key_frames[:IN_FLIGHT])
            assert file.bytes_read < sum(
                e - s for s, e in source.asked
            )  # those on their way broke off

    def test_the_order_of_reading_need_not_be_that_of_the_object(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.expect(self.key_frames[::-1])
            for start, end in self.key_frames[::-1]:
                file.seek(start)
                assert file.read(end - start) == DATA[start:end]
        assert sorted(source.asked) == list(self.key_frames)

    def test_what_was_read_on_is_given_up_for_what_is_announced(self) -> None:
        announced = threading.Event()

        def hold(at: int) -> None:
            if 8 * MIB <= at < 32 * MIB:
                assert announced.wait(PATIENCE_S)

        source = Source(hold)
        with opened(source.fetch) as file:
            read_on(file, 7 * MIB)
            source.wait(lambda: source.active >= IN_FLIGHT - 1)
            file.expect([(40 * MIB, 40 * MIB + 10)])
            announced.set()
            source.wait(lambda: source.active == 0 and (40 * MIB, 40 * MIB + 10) in source.asked)
            assert file.bytes_read < 12 * MIB

    def test_an_empty_announcement_ends_it(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.expect([(0, 10)])
            file.expect([])
            file.seek(MIB)
            file.read(10)
        assert (MIB, MIB + BLOCK_BYTES) in source.asked

    @given(ranges=ranges)
    def test_everything_announced_is_wanted_and_within_the_object(self, ranges: list[Span]) -> None:
        order = Announced(ranges, len(DATA))
        wanted = order.wanted()
        for start, end in ranges:
            for position in {start, (start + end) // 2, end - 1}:
                if start <= position < min(end, len(DATA)):
                    order.reading_at(position, 1)
                    assert any(s <= position < e for s, e in [order.needed(position, 1)])
            wanted += order.wanted()
        assert all(0 <= s < e <= len(DATA) and e - s <= LARGEST_PIECE_BYTES for s, e in wanted)
        for start, end in ranges:
            if start < min(end, len(DATA)):
                assert any(s <= start < e for s, e in wanted)


def test_the_key_frames_of_a_video_cost_their_own_bytes(
    s3_bucket: S3Bucket, tmp_path: Path
) -> None:
    path = tmp_path / "video.mp4"
    write_video(path)
    with av.open(str(path)) as container:
        keys = [
            (packet.pos, packet.pos + packet.size)
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pos is not None
        ]
    data = path.read_bytes()
    s3_bucket.put("a", data)
    with s3_bucket.open("a") as source:
        source.expect(keys)
        for start, end in keys:
            source.seek(start)
            assert source.read(end - start) == data[start:end]
        assert len(keys) == source.requests == 4
        assert source.bytes_read == sum(end - start for start, end in keys) < len(data) / 4


def write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "mpeg4", rate=25, options={"g": "15", "sc_threshold": "1000000000"}
        )
        stream.width, stream.height, stream.bit_rate = 320, 240, 20_000_000
        for number in range(60):
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(DATA[number : number + plane.buffer_size])
            frame.pict_type = PictureType.I if number % 15 == 0 else PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
