"""Keeps an engine that works in steps full: a question goes in as soon as another comes out.

One thread belongs to an engine. It loads it, steps it, and is the only one that touches it. Each
`ask` takes and builds its questions in a thread of its own, ahead of need, and its answers wait in
a queue: neither a slow reader of frames nor a caller that commits keeps the engine waiting. What an
engine is, its own file knows.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from lakehouse.models.vision.messages import messages
from lakehouse.models.vision.protocol import Answer, Question, Value
from lakehouse.models.vision.reading import Said, Sampling, answer_of, given_up, sampling

_BUILT_AHEAD = 8
"""Questions that wait, with their frames, until the engine has room."""
_ANSWERS_AHEAD = 256
"""Answers that wait until the caller takes them. They are small, and a commit may take seconds."""
_ADDED_A_STEP = 8
"""An engine in this process stands still while its questions are added."""
_SILENCE_S = 1.0
"""Who waits so long for an answer looks whether the engine is still there."""


@dataclass(frozen=True)
class Request:
    """One attempt at a question, as an engine takes it."""

    messages: list[dict[str, Any]]
    schema: Mapping[str, Any]
    max_tokens: int
    sampled: Sampling


class RefusedError(Exception):
    """The engine doesn't take this request, however often it is made."""


class SteppedEngine(Protocol):
    """An engine that works on many requests at once. What it raises besides RefusedError ends all
    of them, and it is never used again."""

    def add(self, request: Request) -> str:
        """Take the request; returns the name under which `step` tells what came of it. Raises
        RefusedError."""
        ...

    def step(self) -> Sequence[tuple[str, Said]]:
        """Work on for a moment; what has ended by then. Called only while a request is under
        way."""
        ...

    def abort(self, names: Sequence[str]) -> None:
        """Drop these requests, some of which may have ended by now."""
        ...

    def death(self) -> BaseException | None:
        """What `step` would raise if it hadn't been waiting, for ever, for a process that is gone;
        none while all is well. May be called by any thread."""
        ...


class Stepper:
    """An engine that is kept full with at most `max_in_flight` requests, for as many askers at once
    as there are.

    Raises, when made, what `load` raises.
    """

    def __init__(self, load: Callable[[], SteppedEngine], max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._changed = threading.Condition()
        self._waiting: deque[_Attempt] = deque()
        self._in_flight: dict[str, _Attempt] = {}
        self._askers: set[_Asker] = set()
        self._died_of: BaseException | None = None
        loaded: Future[SteppedEngine] = Future()
        threading.Thread(
            target=self._run, args=(load, loaded), name="vision-engine", daemon=True
        ).start()
        self._engine = loaded.result()

    @property
    def is_dead(self) -> bool:
        """Whether the engine failed for good."""
        return self._died_of is not None

    def ask(
        self, questions: Iterable[Question[Value]], temperature: float, max_tokens: int
    ) -> Iterator[Answer[Value]]:
        """See `VisionModel.ask`. Questions are taken in a thread of their own. What the engine or
        the questions raise is raised after the answers that were ready by then; closing this
        generator drops what is under way."""
        asker = _Asker(temperature, max_tokens, self._max_in_flight)
        with self._changed:
            if self._died_of is not None:
                raise self._died_of
            self._askers.add(asker)
        feeder = threading.Thread(
            target=self._feed, args=(asker, questions), name="vision-questions", daemon=True
        )
        feeder.start()
        try:
            yield from asker.answers(self._look)
        finally:
            asker.leave()
            with self._changed:
                self._askers.discard(asker)
            feeder.join()

    def _feed(self, asker: "_Asker", questions: Iterable[Question[Any]]) -> None:
        source, count = iter(questions), 0
        problem: BaseException | None = None
        try:
            while asker.has_room():
                try:
                    question = next(source)
                except StopIteration:
                    break
                attempt = _Attempt(asker, question, messages(question))
                count += 1
                with self._changed:
                    self._waiting.append(attempt)
                    self._changed.notify_all()
            if isinstance(source, Generator):
                source.close()
        except BaseException as error:
            problem = error
        asker.news.put(_AllAsked(count, problem))

    def _run(self, load: Callable[[], SteppedEngine], loaded: "Future[SteppedEngine]") -> None:
        try:
            engine = load()
        except BaseException as problem:
            loaded.set_exception(problem)
            return
        loaded.set_result(engine)
        try:
            while self._died_of is None:
                self._work(engine)
        except BaseException as problem:
            self._die(problem)

    def _look(self) -> None:
        if (problem := self._engine.death()) is not None:
            self._die(problem)

    def _die(self, problem: BaseException) -> None:
        with self._changed:
            if self._died_of is None:
                self._died_of = problem
                for asker in self._askers:
                    asker.news.put(problem)

    def _work(self, engine: SteppedEngine) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight or self._waiting)
        dropped = [name for name, attempt in self._in_flight.items() if attempt.asker.has_left]
        if dropped:
            engine.abort(dropped)
            for name in dropped:
                del self._in_flight[name]
        self._fill(engine)
        if self._in_flight:
            for name, said in engine.step():
                self._take(name, said)

    def _fill(self, engine: SteppedEngine) -> None:
        room = min(self._max_in_flight - len(self._in_flight), _ADDED_A_STEP)
        while room > 0 and (attempt := self._next_waiting()) is not None:
            attempt.since = time.monotonic()
            try:
                name = engine.add(attempt.request)
            except RefusedError as refusal:
                attempt.answered(given_up(attempt.question, attempt.said, str(refusal)))
                continue
            self._in_flight[name] = attempt
            room -= 1

    def _next_waiting(self) -> "_Attempt | None":
        with self._changed:
            while self._waiting:
                attempt = self._waiting.popleft()
                attempt.is_taken()
                if not attempt.asker.has_left:
                    return attempt
        return None

    def _take(self, name: str, said: Said) -> None:
        attempt = self._in_flight.pop(name, None)
        if attempt is None:
            return
        attempt.said.append(replace(said, seconds=time.monotonic() - attempt.since))
        try:
            answer = answer_of(attempt.question, attempt.said, attempt.asker.max_tokens)
        except Exception as mistake:  # of who reads: it must not end what others asked
            attempt.asker.news.put(mistake)
            return
        if answer is not None:
            attempt.answered(answer)
            return
        with self._changed:
            self._waiting.appendleft(attempt)


@dataclass
class _Attempt:
    """A question on its way, and what was said to it so far."""

    asker: "_Asker"
    question: Question[Any]
    messages: list[dict[str, Any]]
    said: list[Said] = field(default_factory=list)
    since: float = 0.0

    @property
    def request(self) -> Request:
        sampled = sampling(len(self.said), self.asker.temperature)
        return Request(self.messages, self.question.schema, self.asker.max_tokens, sampled)

    def is_taken(self) -> None:
        """Tell that it no longer waits; what is asked once more had not to wait."""
        if not self.said:
            self.asker.built.release()

    def answered(self, answer: Answer[Any]) -> None:
        self.asker.news.put(answer)


@dataclass(frozen=True)
class _AllAsked:
    """How many questions there were, and what ended them early."""

    count: int
    problem: BaseException | None


class _Asker:
    """One call of `ask`: how much of it may be under way, and the news for its caller."""

    def __init__(self, temperature: float, max_tokens: int, max_in_flight: int) -> None:
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.has_left = False
        self.news: SimpleQueue[Answer[Any] | _AllAsked | BaseException] = SimpleQueue()
        self.built = threading.Semaphore(_BUILT_AHEAD)
        self._room = threading.Semaphore(max_in_flight + _BUILT_AHEAD + _ANSWERS_AHEAD)

    def has_room(self) -> bool:
        """Wait until a question may be taken; false once the caller has left."""
        self._room.acquire()
        self.built.acquire()
        return not self.has_left

    def leave(self) -> None:
        """The caller takes no more answers."""
        self.has_left = True
        self._room.release()
        self.built.release()

    def answers(self, look: Callable[[], None]) -> Iterator[Answer[Any]]:
        """The news as they come, until all that was asked is answered; `look` is called where there
        are none for long."""
        asked: _AllAsked | None = None
        count = 0
        while asked is None or count < asked.count:
            try:
                news = self.news.get(timeout=_SILENCE_S)
            except Empty:
                look()
                continue
            if isinstance(news, BaseException):
                raise news
            if isinstance(news, _AllAsked):
                asked = news
                continue
            count += 1
            self._room.release()
            yield news
        if asked.problem is not None:
            raise asked.problem
