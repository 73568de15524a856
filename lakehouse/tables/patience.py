"""Lance's own attempts are not enough: work on a table that may be done again, done again.

Lance repeats requests that fail, but not those whose answer breaks off or lies: a listing cut in
two, a range shorter than was asked for, a commit of which nobody knows whether it happened. Only
idempotent work belongs here: reads, merges by key, deletions, creating what may exist already.
"""

import re
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from lakehouse.errors import UserError

Result = TypeVar("Result")

_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.1
"""Doubled with each attempt: 13 s in all."""
_OF_THE_STORE = ("LanceError(IO)", "LanceError(Arrow)")
_FINAL = re.compile(
    r"after (\d+) retries, max_retries: \1\b|was not found|already exists|AccessDenied"
    r"|InvalidAccessKeyId|SignatureDoesNotMatch|NoSuchBucket"
)
"""What another attempt would not change; first of all, where Lance has made all of its own."""


def patiently(work: Callable[[], Result]) -> Result:
    """What `work` returns, after up to 8 attempts. Raises what the last one raised."""
    for attempt in count(1):
        try:
            return work()
        except Exception as error:  # an OSError or ValueError, or DuckDB's own about one of them
            if attempt == _ATTEMPTS or not is_transient(error):
                raise
        time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
    raise AssertionError


def is_transient(error: Exception) -> bool:
    """Whether it is of the store, and another attempt may go better."""
    return is_of_the_store(error) and not _FINAL.search(str(error))


def is_of_the_store(error: Exception) -> bool:
    """Whether Lance raised it for what the store or the network did. An error of ours, which may
    quote one, is not."""
    said = str(error)
    return any(mark in said for mark in _OF_THE_STORE) and not isinstance(error, UserError)
