"""A day's report as Markdown: for the UI, a chat, a terminal. What it counts is `daily_report`."""

import re
from collections.abc import Iterable, Sequence

from lakehouse.query.clock import clock
from lakehouse.query.daily_report import Account, DailyReport

_ERRORS_SHOWN = 5
_LONGEST_ERROR = 160
_HEAD = (
    "camera",
    "files",
    "footage",
    "passed",
    "rejected",
    "too short",
    "failed",
    "clips",
    "captions",
    "rejected for",
)
_TEXTS = ("camera", "rejected for")
_MARKUP = re.compile(r"[\\`*\[\]<>|]")
_COST = ("camera", "runs", "run time", "model time", "tokens", "tokens saved")


def as_markdown(report: DailyReport) -> str:
    """Where the seconds of each camera went, what the work on them took, and what went wrong."""
    if not report.by_camera:
        return f"No footage of {report.day.isoformat()}."
    total = report.total
    accounts = [*report.by_camera.items(), ("all", total)]
    parts = [
        f"**{report.day.isoformat()}**: {clock(total.footage_s)} of footage, "
        f"{_share(total.passed_s, total.footage_s)} passed",
        _table(_HEAD, (_footage(camera, of) for camera, of in accounts)),
        _table(_COST, (_cost(camera, of) for camera, of in accounts)),
    ]
    if total.errors:
        parts.append("\n".join(_errors(total)))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _footage(camera: str, of: Account) -> Sequence[str]:
    reasons = ", ".join(f"{reason} {clock(seconds)}" for reason, seconds in of.rejected)
    return (
        camera,
        str(of.recordings),
        clock(of.footage_s),
        clock(of.passed_s),
        clock(of.rejected_s),
        clock(of.too_short_s),
        clock(of.failed_s),
        f"{of.clips_passed} of {of.clips}",
        str(of.captions) + (f", {of.captions_failed} failed" if of.captions_failed else ""),
        reasons,
    )


def _cost(camera: str, of: Account) -> Sequence[str]:
    return (
        camera,
        str(of.runs),
        clock(of.wall_s),
        clock(of.model_s),
        str(of.tokens),
        str(of.tokens_saved),
    )


def _errors(total: Account) -> Iterable[str]:
    yield f"{total.recordings_failed} of {total.recordings} recordings with errors:\n"
    for failure in total.errors[:_ERRORS_SHOWN]:
        text = " ".join(failure.error.split())[:_LONGEST_ERROR]
        yield f"- {failure.recordings} x `{text.replace('`', chr(39))}`"
    if len(total.errors) > _ERRORS_SHOWN:
        yield f"- and {len(total.errors) - _ERRORS_SHOWN} others"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # All but the first column and the reasons are numbers.
    rule = ["---" if name in _TEXTS else "---:" for name in head]
    lines = [head, rule, *(map(_plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """The text as it is: a camera may be called as it likes."""
    return _MARKUP.sub(r"\\\g<0>", text)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"
