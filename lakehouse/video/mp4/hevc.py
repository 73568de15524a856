"""Which name an HEVC track may have: `hev1`, or `hvc1`, without which Apple's players refuse it.

Layouts are those of ISO/IEC 14496-15 (8.3.3.1) and ITU-T H.265 (7.3.1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lakehouse.video.key_frames import units

_PARAMETER_SETS = range(32, 35)  # VPS, SPS and PPS
_ARRAYS_AT = 22  # bytes into the configuration


def decodes_by_configuration(configuration: bytes, samples: Iterable[memoryview]) -> bool:
    """Whether the decoder configuration (hvcC) holds every parameter set that the samples need.

    Then `hvc1` is a right name: the samples have no sets of their own, or repeat those.
    """
    if len(configuration) <= _ARRAYS_AT:
        return False
    stated = set(_stated(configuration))
    prefix = (configuration[_ARRAYS_AT - 1] & 3) + 1
    kinds = {_kind(unit) for unit in stated}
    return kinds.issuperset(_PARAMETER_SETS) and all(
        unit in stated for sample in samples for unit in _repeated(sample, prefix)
    )


def _stated(configuration: bytes) -> Iterator[bytes]:
    """The NAL units in the configuration."""
    at = _ARRAYS_AT + 1
    for _ in range(configuration[_ARRAYS_AT]):
        count = int.from_bytes(configuration[at + 1 : at + 3])
        at += 3
        for _ in range(count):
            size = int.from_bytes(configuration[at : at + 2])
            if at + 2 + size > len(configuration) or not size:
                return
            yield configuration[at + 2 : at + 2 + size]
            at += 2 + size


def _repeated(sample: memoryview, prefix: int) -> Iterator[bytes]:
    """The parameter sets of an access unit, which stand before its first slice."""
    for unit in units(sample, prefix):
        if unit and _kind(unit) < _PARAMETER_SETS.start:
            return
        if unit and _kind(unit) in _PARAMETER_SETS:
            yield bytes(unit)


def _kind(unit: bytes | memoryview) -> int:
    return unit[0] >> 1 & 0x3F
