"""How long to wait before a request is made again. Whether it is made again, `chat` decides."""

import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_BACKOFF_BASE_S = 0.5
_BACKOFF_LIMIT_S = 30.0
_RETRY_AFTER_LIMIT_S = 300.0


def back_off_s(attempt: int) -> float:
    """After the attempt with this number, from 0: longer each time, and not the same for all."""
    doubled_s = _BACKOFF_BASE_S * 2.0 ** min(attempt, 16)
    return min(doubled_s, _BACKOFF_LIMIT_S) * random.uniform(0.5, 1.0)


def asked_wait_s(retry_after: str | None) -> float | None:
    """What a Retry-After header asks for, up to a limit; none where it isn't there or says nothing.

    It holds seconds or a date (RFC 9110, 10.2.3).
    """
    asked_s = _seconds(retry_after) if retry_after else None
    return None if asked_s is None else min(max(asked_s, 0.0), _RETRY_AFTER_LIMIT_S)


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return seconds if math.isfinite(seconds) else None


def _seconds_until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
