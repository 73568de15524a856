"""What keeping an engine full promises, with engines that do as they are told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.models.clip_view import FrameView
from lakehouse.models.vision import stepping
from lakehouse.models.vision.protocol import Answer, Question
from lakehouse.models.vision.reading import Said
from lakehouse.models.vision.stepping import RefusedError, Request, Stepper
from tests.clip_views import jpeg

DEADLINE_S = 20.0


class Engine:
    """Ends its requests when `ends` says so, in the order in which they came; each says its own
    instruction, with the number of the attempt."""

    def __init__(self, ends: Callable[["Engine", str], bool] = lambda *_: True) -> None:
        self.ends = ends
        self.under_way: dict[str, str] = {}
        self.requests: list[Request] = []
        self.ended: list[str] = []
        self.aborted: list[str] = []
        self.most = 0
        self.died_of: BaseException | None = None
        self.changed = threading.Condition()

    def add(self, request: Request) -> str:
        instruction = request.messages[0]["content"][0]["text"]
        self.requests.append(request)
        if instruction == "refuse":
            raise RefusedError("too long")
        self.under_way[str(len(self.requests))] = instruction
        self.most = max(self.most, len(self.under_way))
        return str(len(self.requests))

    def step(self) -> list[tuple[str, Said]]:
        over = [name for name, asked in self.under_way.items() if self.ends(self, asked)]
        with self.changed:
            said = [(name, Said(self.under_way.pop(name), tokens_out=1)) for name in over]
            self.ended += [answer.content for _, answer in said]
            self.changed.notify_all()
        return said

    def abort(self, names: Sequence[str]) -> None:
        with self.changed:
            self.aborted += [self.under_way.pop(name) for name in names]
            self.changed.notify_all()

    def death(self) -> BaseException | None:
        return self.died_of

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S)


def question(instruction: str, read: Callable[[str], str] = str) -> Question[str]:
    return Question(instruction, instruction, (FrameView(0.0, jpeg()),), {}, read)


def numbered(count: int) -> Iterator[Question[str]]:
    return (question(str(number)) for number in range(count))


def ask(
    engine: Engine, questions: Any, max_in_flight: int = 4, temperature: float = 0.0
) -> Iterator[Answer[str]]:
    return Stepper(lambda: engine, max_in_flight).ask(questions, temperature, 100)


def test_every_question_is_answered_once_under_its_key() -> None:
    engine = Engine()
    answers = list(ask(engine, numbered(50)))
    assert sorted(answer.key for answer in answers) == sorted(str(number) for number in range(50))
    assert all(answer.value == answer.key for answer in answers)
    assert engine.most <= 4


def test_a_question_goes_in_as_soon_as_another_comes_out() -> None:
    # Whoever waits for a whole batch would wait for "0" for ever.
    engine = Engine(lambda engine, asked: asked != "0" or len(engine.ended) == 19)
    answers = list(ask(engine, numbered(20), max_in_flight=2))
    assert answers[-1].key == "0"


def test_the_engine_works_on_while_the_caller_is_busy() -> None:
    engine = Engine()
    answers = ask(engine, numbered(100))
    next(answers)
    engine.wait_for(lambda: len(engine.ended) == 100)
    assert len(list(answers)) == 99


def test_the_engine_works_on_while_a_question_is_not_there_yet() -> None:
    engine, others_ended = Engine(), threading.Event()

    def questions() -> Iterator[Question[str]]:
        yield from numbered(3)
        assert others_ended.wait(DEADLINE_S)

    answers = ask(engine, questions())
    assert [next(answers).key for _ in range(3)] == ["0", "1", "2"]
    others_ended.set()
    assert list(answers) == []


def test_questions_are_taken_a_bounded_number_ahead_and_only_when_answers_are_asked_for() -> None:
    taken = 0

    def questions() -> Iterator[Question[str]]:
        nonlocal taken
        for one in numbered(1000):
            taken += 1
            yield one

    answers = ask(Engine(), questions())
    assert taken == 0
    ahead = 4 + stepping._BUILT_AHEAD + stepping._ANSWERS_AHEAD
    for yielded, _ in enumerate(answers, start=1):
        assert taken <= yielded + ahead
    assert taken == 1000


def test_few_questions_with_their_frames_wait_for_an_engine_that_is_full() -> None:
    taken, full = 0, threading.Event()

    def questions() -> Iterator[Question[str]]:
        nonlocal taken
        for one in numbered(1000):
            taken += 1
            if taken == 4 + stepping._BUILT_AHEAD:
                full.set()
            yield one

    answers = ask(Engine(lambda _, asked: asked == "0" and full.is_set()), questions())
    next(answers)
    assert taken <= 4 + stepping._BUILT_AHEAD + 2
    answers.close()  # type: ignore[attr-defined]


def test_a_refused_question_is_the_error_of_its_answer_and_asked_once() -> None:
    engine = Engine()
    answers = {answer.key: answer for answer in ask(engine, map(question, ["a", "refuse", "b"]))}
    assert answers["refuse"] == Answer("refuse", error="too long")
    assert [answers[key].value for key in "ab"] == ["a", "b"]
    assert len(engine.requests) == 3


def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_warmer() -> None:
    engine = Engine()

    def read(_: str) -> str:
        raise ValueError("no sense")

    [answer] = ask(engine, [question("a", read)])
    assert answer.error == "the answer can't be used: no sense"
    assert answer.raw_answer == "a"
    assert answer.tokens_out == 2
    assert [request.sampled.temperature for request in engine.requests] == [0.0, 0.3]
    assert [request.sampled.seed for request in engine.requests] == [0, 1]


def test_seconds_are_those_between_asking_and_answering() -> None:
    [answer] = ask(Engine(), [question("a")])
    assert answer.seconds is not None
    assert 0 < answer.seconds < DEADLINE_S


def test_a_caller_that_stops_leaves_no_request_and_no_thread_behind() -> None:
    engine, is_closed = Engine(lambda _, asked: asked == "0"), threading.Event()

    def questions() -> Iterator[Question[str]]:
        try:
            yield from numbered(1000)
        finally:
            is_closed.set()

    answers = ask(engine, questions())
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert is_closed.is_set()
    assert "vision-questions" not in {thread.name for thread in threading.enumerate()}
    engine.wait_for(lambda: not engine.under_way)


def test_an_engine_that_was_left_answers_who_asks_next() -> None:
    engine = Engine(lambda _, asked: asked != "never")
    stepper = Stepper(lambda: engine, 2)
    left = stepper.ask(map(question, ["never", "a", "never"]), 0.0, 100)
    assert next(left).key == "a"
    left.close()  # type: ignore[attr-defined]
    assert [answer.key for answer in stepper.ask(map(question, ["b"]), 0.0, 100)] == ["b"]
    assert set(engine.aborted) <= {"never"}


def test_several_ask_at_once_and_each_gets_its_own() -> None:
    stepper = Stepper(Engine, 2)
    some = stepper.ask((question(f"a{number}") for number in range(20)), 0.0, 100)
    others = stepper.ask((question(f"b{number}") for number in range(20)), 0.0, 100)
    for ours, theirs in zip(some, others, strict=True):
        assert (ours.key[0], theirs.key[0]) == ("a", "b")


def test_what_was_ready_is_told_before_the_death_of_the_engine() -> None:
    def ends(engine: Engine, _: str) -> bool:
        if len(engine.ended) >= 3:
            raise UserError("the engine died")
        return True

    stepper = Stepper(lambda: Engine(ends), 1)
    answers = stepper.ask(numbered(10), 0.0, 100)
    assert [next(answers).key for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(UserError, match="the engine died"):
        next(answers)
    assert stepper.is_dead
    with pytest.raises(UserError, match="the engine died"):
        next(stepper.ask(numbered(1), 0.0, 100))


def test_an_engine_that_is_gone_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "_SILENCE_S", 0.01)
    is_over = threading.Event()

    def ends(engine: Engine, asked: str) -> bool:
        if asked == "1":
            engine.died_of = UserError("the engine is gone")
            is_over.wait(DEADLINE_S)
        return True

    answers = ask(Engine(ends), numbered(3), max_in_flight=1)
    assert next(answers).key == "0"
    with pytest.raises(UserError, match="the engine is gone"):
        next(answers)
    is_over.set()


def test_what_the_questions_raise_is_raised_after_the_answers_before_it() -> None:
    def questions() -> Iterator[Question[str]]:
        yield from numbered(3)
        raise OSError("no such frame")

    answers = ask(Engine(), questions())
    assert [next(answers).key for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(OSError, match="no such frame"):
        next(answers)


def test_a_mistake_of_a_reader_does_not_end_what_others_asked() -> None:
    def read(_: str) -> str:
        raise KeyError("a mistake")

    stepper = Stepper(Engine, 2)
    with pytest.raises(KeyError, match="a mistake"):
        list(stepper.ask([question("a", read)], 0.0, 100))
    assert len(list(stepper.ask(numbered(3), 0.0, 100))) == 3


def test_an_engine_that_cannot_be_loaded_is_told_at_once() -> None:
    def load() -> Engine:
        raise UserError("no memory")

    with pytest.raises(UserError, match="no memory"):
        Stepper(load, 1)
