"""The weightless scorer: what was measured of a clip, from the signals of its samples.

Quantiles rather than means: a burst that is over soon does not move the median, and one that
lasts does. What is measured, and how, belongs to `video.signals`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from lakehouse.models.clip_view import ClipView
from lakehouse.models.scorers.protocol import Score, ScorerDescriptor
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.schemas import QUANTILES
from lakehouse.video.signals import SIGNALS, stillness

DESCRIPTOR = ScorerDescriptor(
    model="measured", version=fingerprint(QUANTILES, SIGNALS), reads_frames=False
)
"""The quantiles are the only choice made here."""


class MeasuredScores:
    """A `Scorer`: the quantiles of each signal, and the share of time without motion."""

    def score(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Score]]:
        """See `Scorer.score`; each clip is answered before the next is taken."""
        for clip in clips:
            yield clip.clip_id, Score(_columns(clip.samples))


def _columns(samples: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """None where nothing was measured."""
    columns: dict[str, float | None] = {}
    for signal in SIGNALS:
        values = [value for sample in samples if (value := sample[signal]) is not None]
        for suffix, quantile in QUANTILES.items():
            columns[f"{signal}_{suffix}"] = float(np.quantile(values, quantile)) if values else None
    motions = [motion for sample in samples if (motion := sample["motion"]) is not None]
    return {**columns, "stillness": stillness(motions)}
