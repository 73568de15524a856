"""How often a question is asked, and what becomes of what was said: the same for every backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from lakehouse.models.vision.protocol import Answer, Question, Value

Number = TypeVar("Number", int, float)

_ATTEMPTS = 2
_SECOND_TEMPERATURE = 0.3
RAW_ANSWER_LIMIT = 4000  # characters


@dataclass(frozen=True)
class Said:
    """What a model said in one attempt: its `content`, or why there is none (`problem`) with what
    came instead."""

    content: str
    is_cut: bool = False
    """Whether it ended at `max_tokens`."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float = 0.0
    problem: str | None = None


@dataclass(frozen=True)
class Sampling:
    """How an attempt is sampled."""

    temperature: float
    seed: int


def sampling(attempt: int, temperature: float) -> Sampling:
    """Of the attempt with this number, from 0. A greedy answer that can't be read would come again
    word by word, so a second attempt is warmer; its seed makes it repeatable."""
    return Sampling(temperature if attempt == 0 else max(temperature, _SECOND_TEMPERATURE), attempt)


def answer_of(
    question: Question[Value], attempts: Sequence[Said], max_tokens: int
) -> Answer[Value] | None:
    """The answer after these attempts, of which there is at least one; none if the question is to
    be asked once more."""
    last = attempts[-1]
    value, error = None, last.problem
    if error is None:
        try:
            value = question.read(last.content)
        except ValueError as problem:
            error = (
                f"the answer was cut at max_tokens = {max_tokens}"
                if last.is_cut
                else f"the answer can't be used: {reason(problem)}"
            )
    if error is not None:
        return None if len(attempts) < _ATTEMPTS else given_up(question, attempts, error)
    return _answer(question, attempts, value, None)


def given_up(question: Question[Value], attempts: Sequence[Said], error: str) -> Answer[Value]:
    """The answer where asking once more is no use, after these attempts or before any."""
    return _answer(question, attempts, None, error)


def reason(problem: ValueError) -> str:
    """What is wrong and where. pydantic's own message would quote the answer."""
    if not isinstance(problem, ValidationError):
        return str(problem)
    first = problem.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _answer(
    question: Question[Value], attempts: Sequence[Said], value: Value | None, error: str | None
) -> Answer[Value]:
    return Answer(
        question.key,
        value,
        total([said.tokens_in for said in attempts]),
        total([said.tokens_out for said in attempts]),
        sum(said.seconds for said in attempts) if attempts else None,
        error,
        attempts[-1].content[:RAW_ANSWER_LIMIT] if attempts and error is not None else None,
    )


def total(counts: Sequence[Number | None]) -> Number | None:
    """Of what was counted; none where nothing was."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
