"""The scores of a clip beside the thresholds of its verdict, as bars.

The rules themselves are `lakehouse.query.verdicts`; here they are only drawn.
"""

from dataclasses import dataclass

from lakehouse.settings import Settings
from lakehouse.web.models import Signal
from lakehouse.web.reading import Row


@dataclass(frozen=True)
class _Bar:
    """`scale` is the largest value that a bar shows; none where the values have no bound."""

    name: str
    column: str
    threshold: str
    is_most: bool
    reason: str
    scale: float | None


_BARS = (
    _Bar("darkness", "darkness_p50", "max_darkness", True, "dark", 1.0),
    _Bar("over-exposure", "over_exposed_p50", "max_over_exposed", True, "over_exposed", 1.0),
    _Bar("sharpness", "sharpness_p50", "min_sharpness", False, "blurred", 1.0),
    _Bar("noise", "noise_p50", "max_noise", True, "noisy", None),
    _Bar("stillness", "stillness", "max_stillness", True, "still", 1.0),
    _Bar("texture", "texture_p50", "min_texture", False, "empty", None),
)


def signals(row: Row, settings: Settings) -> list[Signal]:
    """What of the clip was measured and judged; `row` has the columns of `scores` and `reasons`."""
    reasons = set(row["reasons"])
    drawn = []
    for bar in _BARS:
        level = float(getattr(settings.thresholds, bar.threshold))
        drawn.append(
            Signal(
                name=bar.name,
                column=bar.column,
                value=row[bar.column],
                at_least=None if bar.is_most else level,
                at_most=level if bar.is_most else None,
                scale=bar.scale or _scale(row[bar.column], level),
                reason=bar.reason if bar.reason in reasons else None,
            )
        )
    for name, scorer in sorted(settings.scorers.items()):
        value = row.get(name)
        rejected = [reason for reason in (f"low_{name}", f"high_{name}") if reason in reasons]
        drawn.append(
            Signal(
                name=name,
                column=name,
                value=value,
                at_least=scorer.min_score,
                at_most=scorer.max_score,
                scale=_scale(value, scorer.min_score or 0.0, scorer.max_score or 0.0),
                reason=rejected[0] if rejected else None,
            )
        )
    return drawn


def _scale(value: float | None, *levels: float) -> float:
    """So large that the value, and room beyond the levels, fit."""
    return max(value or 0.0, *(2 * level for level in levels)) or 1.0
