"""What a captioner is given and what it returns, whichever backend answers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lakehouse.models.clip_view import ClipView


@dataclass(frozen=True)
class SeenObject:
    """An object with its position relative to the robot and its state, where they can be judged."""

    name: str
    position: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class Caption:
    """The inspection fields and one text; or an `error`, with the answer that caused it."""

    text: str | None = None
    environment: str | None = None
    objects: tuple[SeenObject, ...] = ()
    signs: tuple[str, ...] = ()
    light: str | None = None
    floor: str | None = None
    space: str | None = None
    dynamics: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    error: str | None = None
    raw_answer: str | None = None


@dataclass(frozen=True)
class CaptionerDescriptor:
    """What identifies a captioner without loading it. `version` changes with anything that
    changes its captions: code, model, prompt, sampling. `uses_scores` tells whether they depend
    on a clip's scores too, and not on its frames alone."""

    language: str
    model: str
    version: str
    prompt_version: str | None
    uses_scores: bool


class Captioner(Protocol):
    """A loaded captioner."""

    def caption(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Caption]]:
        """Pairs of clip_id and caption, one for each clip, in any order, as they are ready.

        Never more than a bounded number of clips is taken ahead of what was yielded.
        What is wrong with one clip's answer is its caption's error. Raises UserError where the
        backend itself can't be reached or refuses the credentials.
        """
        ...
