"""What a search is asked: what clips should be like, and which of them may be found.

Only the words of the question belong here. How rows match is `hits`, which clips may be found is
`eligible`, and the answer is `search`.
"""

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from typing import Literal


class By(StrEnum):
    """A way in which clips match."""

    WORDS = "words"
    """Full text over captions, in English and Chinese."""
    MEANING = "meaning"
    """The vectors of captions: a paraphrase finds them too."""
    LOOKS = "looks"
    """The vectors of clips, where an embedder puts pictures and texts into one space."""
    IMAGE = "image"
    """The vectors of clips beside that of an example picture."""
    CLIP = "clip"
    """The vectors of clips beside that of an example clip."""


@dataclass(frozen=True)
class Query:
    """What clips should be like: a text, an example picture (a JPEG or PNG), an example clip, or
    several of them together. An empty one asks for no ranking: the newest clips come first.

    `by` names the ways that count; without any, all that the lake can do. With `fold`, a clip that
    looks the same as a better one is only counted there.
    """

    text: str | None = None
    image: bytes | None = None
    clip_id: str | None = None
    by: tuple[By | str, ...] = ()
    fold: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked that clips could be ranked by."""
        return not (self.text and self.text.strip()) and self.image is None and not self.clip_id


@dataclass(frozen=True)
class Filters:
    """Which clips may be found; none means any. They count before the search does.

    Days and cameras (as `robot-camera`) are those of the partition. `from_time` and `until_time`
    (exclusive) are times of day in UTC, where a recording says when it began; from an evening
    until a morning is a night. `where` is a condition of SQL over the columns of `scores`,
    `clips`, `recordings` and `verdicts`, such as `sharpness_p50 > 0.6 AND state = 'moving'`.
    """

    first_day: date | None = None
    last_day: date | None = None
    cameras: tuple[str, ...] = ()
    robot: str | None = None
    from_time: time | None = None
    until_time: time | None = None
    verdict: Literal["passed", "rejected", "any"] = "passed"
    where: str | None = None
