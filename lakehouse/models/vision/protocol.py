"""What a vision-language model is asked and what it answers, whichever backend reaches it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from lakehouse.models.clip_view import FrameView

Value = TypeVar("Value")


@dataclass(frozen=True)
class Question(Generic[Value]):
    """One request: an instruction, which many questions share, and the frames it is about.

    The answer must fit `schema` (a JSON schema); `read` turns it into a value, and raises
    ValueError, with a message for people, where it says what it must not.
    """

    key: str
    instruction: str
    frames: tuple[FrameView, ...]
    schema: Mapping[str, Any]
    read: Callable[[str], Value]


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """The value that was read, or an `error` with the raw answer, if there was one.

    Tokens and seconds are those of all attempts together; seconds run from asking to answering,
    without the waits between attempts.
    """

    key: str
    value: Value | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    error: str | None = None
    raw_answer: str | None = None


class VisionModel(Protocol):
    """A model that can be asked."""

    def ask(self, questions: Iterable[Question[Value]]) -> Iterator[Answer[Value]]:
        """One answer for each question, under its key, in any order, as they are ready.

        Never more than a bounded number of questions is taken ahead of what was yielded. An answer
        that can't be read is asked for once more, then an error. Raises UserError where the model
        can't be reached or loaded at all, after yielding what was ready by then.
        """
        ...
