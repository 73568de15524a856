"""From the settings of a scorer to its descriptor, or to the scorer itself.

A backend is known here by its settings only; what it does stands in its own file.
"""

from lakehouse.models.scorers import aesthetic, judge
from lakehouse.models.scorers.protocol import Scorer, ScorerDescriptor
from lakehouse.models.vision import registry as vision
from lakehouse.settings import AestheticScorer, ScorerSettings


def describe(settings: ScorerSettings) -> ScorerDescriptor:
    """What identifies the scorer: loads no model and asks no server. Raises UserError for files
    that can't be read."""
    if isinstance(settings, AestheticScorer):
        return aesthetic.describe(settings)
    return judge.describe(settings)


def load(settings: ScorerSettings, threads: int) -> Scorer:
    """The scorer, ready to work with so many threads where it runs on the CPU. Raises UserError
    for what can't work here."""
    if isinstance(settings, AestheticScorer):
        return aesthetic.Aesthetic(settings, threads)
    return judge.Judge(settings, vision.load(settings))
