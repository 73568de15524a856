"""Hashes that say whether something is what it was: of inputs, settings and outputs."""

import json
from hashlib import blake2b
from typing import Any

_DIGEST_BYTES = 16


def fingerprint(*parts: Any) -> str:
    """Hex digest of values: equal parts, equal digest, on every machine and in every run.

    Takes what JSON holds, and bytes and dates; mappings count by content, not by order.
    """
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        data = part if isinstance(part, bytes) else _canonical(part)
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _canonical(part: Any) -> bytes:
    return json.dumps(
        part, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain
    ).encode()


def _plain(value: Any) -> str:
    return (
        blake2b(value, digest_size=_DIGEST_BYTES).hexdigest()
        if isinstance(value, bytes)
        else str(value)
    )
