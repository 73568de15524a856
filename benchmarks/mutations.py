"""Good videos made bad, by seed: cut off, flipped, overwritten, spliced, lying about sizes.

Bytes in, bytes out: which videos, and what becomes of them, belongs to benchmarks and tests.
"""

import random
from collections.abc import Callable, Iterator, Sequence

Mutation = Callable[[bytes, bytes, random.Random], bytes]
"""A video, another one, and chance; most leave the other one alone."""

_HEADER_BYTES = 4000
_FIELD_BYTES = 28
_NAMES = (
    *(  # of MP4 and MOV
        b"ftyp moov trak mdia minf stbl stsd stts ctts stss stsc stsz stco co64 elst mdhd tkhd "
        b"hdlr mvex trex moof traf tfhd trun tfdt sidx mdat avcC hvcC av1C dref"
    ).split(),
    *b"LIST avih strh strf vids movi idx1 00dc".split(),  # of AVI
    *(b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\x15I\xa9f"),  # EBML, Segment, Info
    *(b"\x16T\xaek", b"\x1fC\xb6u", b"\x1cS\xbbk"),  # Tracks, Cluster, Cues
    *(b"G@", b"\0\0\1\xe0"),  # the first packet of a unit, and the unit, of MPEG-TS
)
_LIES = (0, 1, 7, 0x7F, 0xFFFF, 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutations(videos: Sequence[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many files by name, each another kind of damage than the one before."""
    rng = random.Random(seed)
    for number in range(count):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        damaged = mutation(rng.choice(videos), rng.choice(videos), rng)
        yield f"{number:04d}-{mutation.__name__}.bin", damaged


def cut_off(video: bytes, _: bytes, rng: random.Random) -> bytes:
    """The beginning, of any length."""
    return video[: rng.randrange(len(video))]


def with_flipped_bits(video: bytes, _: bytes, rng: random.Random) -> bytes:
    """A few hundred bits at most, anywhere."""
    changed = bytearray(video)
    for _number in range(rng.randrange(1, 200)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def with_foreign_bytes(video: bytes, _: bytes, rng: random.Random) -> bytes:
    """Noise instead of a stretch of another length."""
    at = rng.randrange(len(video))
    return video[:at] + rng.randbytes(rng.randrange(1, 500)) + video[at + rng.randrange(500) :]


def with_noise_in_headers(video: bytes, _: bytes, rng: random.Random) -> bytes:
    """Some words overwritten near the beginning and the end."""
    changed = bytearray(video)
    reach = min(len(changed) - 4, _HEADER_BYTES)
    for _number in range(rng.randrange(1, 6)):
        at = rng.choice([rng.randrange(reach), len(changed) - 4 - rng.randrange(reach)])
        changed[at : at + 4] = rng.randbytes(4)
    return bytes(changed)


def with_lying_sizes(video: bytes, _: bytes, rng: random.Random) -> bytes:
    """A word before, or soon after, the names of some boxes says something that can't be."""
    changed = bytearray(video)
    places = [at for name in _NAMES for at in _places(video, name)]
    for _number in range(rng.randrange(1, 4)):
        after = rng.choice(places) + rng.choice([-4, *range(4, _FIELD_BYTES, 4)])
        at = min(max(0, after), len(changed) - 4)
        changed[at : at + 4] = rng.choice(_LIES).to_bytes(4)
    return bytes(changed)


def spliced(video: bytes, other: bytes, rng: random.Random) -> bytes:
    """The head of one and the rest of another."""
    head = rng.randrange(1, min(len(video), 2 * _HEADER_BYTES))
    return video[:head] + other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (
    cut_off,
    with_flipped_bits,
    with_foreign_bytes,
    with_noise_in_headers,
    with_lying_sizes,
    spliced,
)


def _places(video: bytes, name: bytes) -> Iterator[int]:
    """Where the name stands: the first places, since pictures may hold it by chance."""
    at = -1
    for _number in range(4):
        at = video.find(name, at + 1)
        if at < 0:
            return
        yield at
