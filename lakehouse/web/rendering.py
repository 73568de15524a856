"""Models as HTML. All that comes from outside is escaped: it is shown as text."""

import math
from functools import cache

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from lakehouse.query.clock import clock

_WORDS = {
    "too_short": "too short",
    "over_exposed": "over-exposed",
    "start_time": "by the time at which both recordings state to start",
    "name": "same offset in the recording of the same name; no start time is known",
    "order": "same offset in the recording at the same place in the day's order; "
    "no start time is known",
}


def render(template: str, status: int = 200, **shown: object) -> HTMLResponse:
    """A page."""
    return HTMLResponse(_environment().get_template(template).render(**shown), status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lakehouse.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    environment.filters["words"] = words
    environment.filters["number"] = number
    environment.filters["size"] = size
    return environment


def words(name: str) -> str:
    """A name from the tables in words."""
    return _WORDS.get(name, name)


def number(value: float | None) -> str:
    """Three digits, or a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3g}"


def size(count: int) -> str:
    """Bytes as people write them: 0.3 MB, 12.0 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
