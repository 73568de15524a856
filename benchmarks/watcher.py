"""A reader in a process of its own, which looks at a lake through its views over and over.

It knows what each object becomes when nothing disturbs its ingest, and tells whatever else it
sees. What happens to the lake meanwhile belongs to the benchmarks.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import duckdb

from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.tables.lake import TableMissingError, open_lake

_LEAST_PAUSE_S = 0.1
_EXAMPLES = 10
_KEYS = {
    "clips": "clip_id",
    "frames": "frame_id",
    "scores": "clip_id",
    "captions": "caption_id",
    "embeddings": "clip_id || ':' || variant",
}


class Object(NamedTuple):
    """The object that a row was made from."""

    recording_id: str
    etag: str


class Row(NamedTuple):
    """A row that was made from an object."""

    clip_id: str
    key: str
    content_hash: str


Rows = dict[Object, frozenset[Row]]
_NONE: frozenset[Row] = frozenset()


@dataclass(frozen=True)
class Seen:
    """What the views showed in one look: the recordings, and by view the rows of each object."""

    objects: frozenset[Object]
    rows: Mapping[str, Rows]


@dataclass
class Watched:
    """What a reader saw over time. Violations are counted; of some of them, it is told what."""

    polls: int = 0
    polls_with_clips: int = 0
    violations: int = 0
    examples: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def __str__(self) -> str:
        told = "".join(f"\n    {example}" for example in self.examples)
        return (
            f"reader: {self.polls} polls, {self.polls_with_clips} of them with clips in view; "
            f"{self.violations} violations; slowest poll {self.slowest_s:.2f} s{told}"
        )


def look(settings: Settings) -> Seen:
    """All that the views show of a lake now. Raises UserError."""
    with connect(open_lake(settings), settings) as connection:
        recordings = connection.execute("SELECT recording_id, etag FROM recordings").fetchall()
        objects = [Object(*row) for row in recordings]
        return Seen(frozenset(objects), {view: _rows(connection, view) for view in _KEYS})


def what_is_complete(undisturbed: Sequence[Seen]) -> Mapping[str, Rows]:
    """Every row that each object becomes, by view, from lakes that nothing disturbed."""
    return {
        view: {of: rows for seen in undisturbed for of, rows in seen.rows[view].items()}
        for view in _KEYS
    }


def violations(seen: Seen, complete: Mapping[str, Rows]) -> list[str]:
    """What must never be seen, a line each: some of the clips or frames of an object, rows of an
    object that is not the recording's, rows without their clip, and rows that no object becomes."""
    found = []
    clips = seen.rows["clips"]
    for view, by_object in seen.rows.items():
        for of, rows in by_object.items():
            if of not in seen.objects:
                found.append(f"{view} of {of}, which is not the recording's object")
            if foreign := rows - complete[view].get(of, _NONE):
                found.append(f"{view} of {of} that it does not become: {min(foreign)}")
            clip_ids = {row.clip_id for row in clips.get(of, _NONE)}
            if alone := {row.clip_id for row in rows} - clip_ids:
                found.append(f"{view} of {of} whose clip is not there: {min(alone)}")
    for view in ("clips", "frames"):
        for of in clips:
            rows, expected = seen.rows[view].get(of, _NONE), complete[view].get(of, _NONE)
            if missing := expected - rows:
                found.append(f"{len(missing)} of {len(expected)} {view} of {of} are missing")
    return found


class Watcher:
    """The reader's process, to be used as a context; `watched` is there once the block is left."""

    def __init__(self, complete: Mapping[str, Rows]) -> None:
        spawn = get_context("spawn")  # Lance does not survive a fork
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_watch, args=(theirs, complete), daemon=True)
        self.watched = Watched()

    def __enter__(self) -> "Watcher":
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(EOFError, BrokenPipeError):
            self._connection.send(None)
            self.watched = self._connection.recv()
        self._process.join()

    def watch(self, settings: Settings) -> None:
        """From now on, look at this lake, and no longer at the one before."""
        self._connection.send(settings)
        self._connection.recv()


def _watch(orders: Connection, complete: Mapping[str, Rows]) -> None:
    watched = Watched()
    settings: Settings | None = None
    shown: frozenset[Object] = frozenset()
    pause_s = 0.0
    while True:
        if orders.poll(pause_s if settings else None):
            settings, shown = orders.recv(), frozenset()
            orders.send(watched)
            if settings is None:
                return
        assert settings is not None
        started = time.monotonic()
        shown = _poll(settings, complete, shown, watched)
        # No more than half of the time: what is watched should not starve.
        pause_s = max(_LEAST_PAUSE_S, time.monotonic() - started)


def _poll(
    settings: Settings, complete: Mapping[str, Rows], shown: frozenset[Object], watched: Watched
) -> frozenset[Object]:
    """One look; returns the objects whose clips were shown so far."""
    started = time.monotonic()
    try:
        seen = look(settings)
    except TableMissingError:
        return shown  # the first run has not come so far
    except Exception as error:  # whatever a reader meets is what this is to find out
        found = [f"the views fail, {type(error).__name__}: {error}"]
    else:
        clips = frozenset(seen.rows["clips"])
        lost = (shown & seen.objects) - clips
        found = violations(seen, complete) + [f"the clips of {of} are gone again" for of in lost]
        shown = (shown & seen.objects) | clips
        watched.polls_with_clips += bool(clips)
    watched.polls += 1
    watched.violations += len(found)
    watched.examples += found[: _EXAMPLES - len(watched.examples)]
    watched.slowest_s = max(watched.slowest_s, time.monotonic() - started)
    return shown


def _rows(connection: duckdb.DuckDBPyConnection, view: str) -> Rows:
    columns = f"recording_id, etag, clip_id, {_KEYS[view]}, content_hash"
    found: defaultdict[Object, set[Row]] = defaultdict(set)
    for recording_id, etag, *row in connection.execute(f"SELECT {columns} FROM {view}").fetchall():
        found[Object(recording_id, etag)].add(Row(*row))
    return {of: frozenset(rows) for of, rows in found.items()}
