"""Pieces of answer schemas that a server's guided decoding can hold a model to."""

from typing import Any


def guided_text(shortest: int, longest: int) -> dict[str, Any]:
    """What the JSON schema of a string says of its length, in characters, and of what it holds.

    Guided decoding applies a pattern to the raw JSON between the quotes, so control characters,
    quotes and backslashes would break the answer. Only the schema says so: an answer that holds
    them, correctly escaped, is read all the same.
    """
    return {"pattern": rf'^[^"\\\x00-\x1f\x7f]{{{shortest},{longest}}}$'}
