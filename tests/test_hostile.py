"""Footage that names other files or addresses: none of them is ever opened.

Where FFmpeg could be talked into it, a control shows that the bait is taken if it is allowed to.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import av
import pytest

from lakehouse.settings import ClipSettings
from lakehouse.storage.local import LocalBucket
from lakehouse.video.one_pass import StreamFacts, facts_of, run_one_pass
from lakehouse.video.probe import ProbeError, probe
from tests.videos import moving, record

FRAMES = 20
FILM = record(moving(FRAMES))
BAIT = "bait.mp4"
CONTAINERS = ("mov", "matroska", "avi", "mpegts")
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


class Opened:
    """Which files of a folder somebody opens, as the kernel tells it (inotify)."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._events, os.fsencode(folder), _IN_OPEN) >= 0

    def names(self) -> set[str]:
        """Those opened since this was last asked."""
        names = set()
        with suppress(BlockingIOError):
            while data := os.read(self._events, 2**16):
                while data:
                    *_, length = _EVENT.unpack_from(data)
                    name = data[_EVENT.size : _EVENT.size + length]
                    names.add(os.fsdecode(name.rstrip(b"\0")))
                    data = data[_EVENT.size + length :]
        return names

    def close(self) -> None:
        os.close(self._events)


class Server:
    """A server on loopback that notes every address it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(FILM)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{BAIT}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a film as bait."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / BAIT).write_bytes(FILM)
    return tmp_path


@pytest.fixture
def opened(folder: Path) -> Iterator[Opened]:
    if sys.platform != "linux":
        pytest.skip("only Linux tells which files are opened")
    watch = Opened(folder)
    yield watch
    watch.close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


# What names other files


def hls(target: str) -> bytes:
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,", target, "#EXT-X-ENDLIST", "")
    return "\n".join(lines).encode()


def ffconcat(target: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def dash(target: str) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def sdp(target: str) -> bytes:
    del target
    lines = ("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0")
    return "\r\n".join((*lines, "m=video 5004 RTP/AVP 96", "a=rtpmap:96 H264/90000", "")).encode()


def plain_list(target: str) -> bytes:
    return f"{target}\n{target}\n".encode()


def image_pattern(target: str) -> bytes:
    return Path(target).with_name("frame-%03d.png").name.encode()


LISTS = (hls, ffconcat, dash, sdp, plain_list, image_pattern)
BEGINNINGS = {
    "mov": b"\0\0\0\x10ftypisom\0\0\0\0",
    "matroska": b"\x1aE\xdf\xa3",
    "avi": b"RIFF\0\0\0\0AVI ",
    "mpegts": b"G" + bytes(187) + b"G",
}


def facts(container: str) -> StreamFacts:
    return StreamFacts(container, Fraction(1, 12_800), 0, 1.0, 25.0, 0)


def read_in_every_way(data: bytes) -> None:
    """Probed, and decoded as whatever container a row may say it is."""
    with suppress(ProbeError):
        probe(BytesIO(data))
    for container in CONTAINERS:
        with suppress(ProbeError):
            run_one_pass(partial(BytesIO, data), facts(container), ClipSettings())


@pytest.mark.parametrize("made", LISTS)
def test_lists_of_files_are_no_footage(made: Callable[[str], bytes], folder: Path) -> None:
    with pytest.raises(ProbeError, match="not a video"):
        probe(BytesIO(made(str(folder / BAIT))))


@pytest.mark.parametrize("made", LISTS)
@pytest.mark.parametrize("beginning", [b"", *BEGINNINGS.values()], ids=["as it is", *BEGINNINGS])
def test_no_file_of_a_list_is_opened(
    made: Callable[[str], bytes], beginning: bytes, folder: Path, opened: Opened
) -> None:
    for target in (BAIT, str(folder / BAIT), f"file://{folder / BAIT}"):
        read_in_every_way(beginning + made(target))
    assert BAIT not in opened.names()


@pytest.mark.parametrize("made", LISTS)
@pytest.mark.parametrize("beginning", [b"", *BEGINNINGS.values()], ids=["as it is", *BEGINNINGS])
def test_no_address_of_a_list_is_asked(
    made: Callable[[str], bytes], beginning: bytes, server: Server
) -> None:
    read_in_every_way(beginning + made(server.url))
    assert server.asked == []


@pytest.mark.parametrize(
    ("made", "options"),
    [(hls, {"allowed_extensions": "ALL", "extension_picky": "0"}), (ffconcat, {"safe": "0"})],
    ids=["HLS", "ffconcat"],
)
def test_control_ffmpeg_opens_them_if_it_may_guess(
    made: Callable[[str], bytes],
    options: dict[str, str],
    folder: Path,
    opened: Opened,
    server: Server,
) -> None:
    (folder / "list.m3u8").write_bytes(made(str(folder / BAIT)))
    with av.open(str(folder / "list.m3u8"), options=options):
        assert BAIT in opened.names()
    (folder / "list.m3u8").write_bytes(made(server.url))
    allowed = options | {"protocol_whitelist": "file,http,tcp,crypto,data"}
    with suppress(av.FFmpegError), av.open(str(folder / "list.m3u8"), options=allowed):
        pass
    assert server.asked


# Movies whose pictures lie elsewhere


def alias(name: str) -> bytes:
    """Of a file beside the movie, as mov.c of FFmpeg reads a Macintosh alias record."""
    path = f"/{name}".encode()
    path += bytes(len(path) % 2)
    levels = struct.pack(">HH", 1, 1)
    record = bytes(10 + 1 + 27 + 12 + 1 + 63 + 16) + levels + bytes(16)
    return b"alis" + bytes(4) + record + struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0"


def address(url: str) -> bytes:
    return b"url " + bytes(4) + url.encode() + b"\0"


def with_data_reference(entry: bytes) -> bytes:
    """The film as a movie whose only track says by this entry where its pictures lie."""
    at = FILM.index(b"dref") - 4
    (old_bytes,) = struct.unpack_from(">I", FILM, at)
    content = bytes(4) + struct.pack(">II", 1, len(entry) + 4) + entry
    data = bytearray(FILM[:at])
    data += struct.pack(">I", len(content) + 8) + b"dref" + content + FILM[at + old_bytes :]
    for parent in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = FILM.rindex(parent, 0, at) - 4
        (size_bytes,) = struct.unpack_from(">I", FILM, start)
        struct.pack_into(">I", data, start, size_bytes + len(content) + 8 - old_bytes)
    return bytes(data)


@pytest.mark.parametrize("made", [alias, address])
def test_a_movie_gets_no_pictures_from_another_file(
    made: Callable[[str], bytes], folder: Path, opened: Opened
) -> None:
    movie = folder / "movie.mov"
    for target in (BAIT, str(folder / BAIT), f"file://{folder / BAIT}"):
        movie.write_bytes(with_data_reference(made(target)))
        with movie.open("rb") as source, suppress(ProbeError):
            probe(source)
        with suppress(ProbeError):
            run_one_pass(lambda: movie.open("rb"), facts("mov"), ClipSettings())
    assert opened.names() == {movie.name}


def test_a_movie_gets_no_pictures_from_an_address(server: Server) -> None:
    for made in (alias, address):
        read_in_every_way(with_data_reference(made(server.url)))
    assert server.asked == []


def test_control_ffmpeg_opens_the_other_file_if_it_may(folder: Path, opened: Opened) -> None:
    movie = folder / "movie.mov"
    movie.write_bytes(with_data_reference(alias(BAIT)))
    with av.open(str(movie), format="mov", options={"enable_drefs": "1"}):
        assert opened.names() == {movie.name, BAIT}


# Names


@pytest.mark.parametrize(
    "name",
    [
        "frame-%03d.mp4",
        "*.mp4",
        f"concat:{BAIT}|{BAIT}",
        f"file:{BAIT}",
        f"subfile,,start,0,end,9,,:{BAIT}",
        "pipe:0",
    ],
)
def test_a_name_is_only_a_name(name: str, folder: Path, opened: Opened) -> None:
    bucket = LocalBucket(folder)
    bucket.put(name, record(moving(3)))
    opened.names()
    with bucket.open(name) as source:
        found = probe(source)
    spans = run_one_pass(lambda: bucket.open(name), facts_of(found), ClipSettings()).spans
    assert found.frame_count == spans[-1].span.end_frame == 3
    assert BAIT not in opened.names()
