"""What a scorer is given and what it returns, whichever backend scores."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lakehouse.models.clip_view import ClipView


@dataclass(frozen=True)
class ScorerDescriptor:
    """What identifies a scorer without loading it. `version` changes with anything that changes its
    scores. `reads_frames` tells whether they
    are made from a clip's frames, or from its samples."""

    model: str
    version: str
    reads_frames: bool


@dataclass(frozen=True)
class Score:
    """The columns of one scorer, by name; or an `error`, with the answer that caused it."""

    values: Mapping[str, float | None] = field(default_factory=dict)
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    error: str | None = None
    raw_answer: str | None = None


class Scorer(Protocol):
    """A loaded scorer."""

    def score(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Score]]:
        """Pairs of clip_id and score, one for each clip, in any order, as they are ready.

        Never more than a bounded number of clips is taken ahead of what was yielded. What is wrong
        with one clip is its score's error. Raises UserError where no clip can be scored.
        """
        ...
