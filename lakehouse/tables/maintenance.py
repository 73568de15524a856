"""Keeping a table small and quick: its indices, its fragments and its old versions.

Each commit leaves a version and small files behind, and the next one pays for them. What rows say
never changes here; writing them is `commit`. Everything is safe beside writers, readers and
another maintenance, without a lock: a step that meets a conflict with one of them is tried again
a few times, then left to the next maintenance.
"""

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from lance.commit import CommitConflictError
from lance.optimize import Compaction

from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import Table
from lakehouse.tables.vector_index import index_vectors

FRAGMENT_BYTES = 512 * 1024**2
"""Small fragments are merged up to about this size, and those of half of it left alone: it bounds
what a compaction rewrites again and again, and what is lost when a piece of it fails."""

_FRAGMENT_ROWS = 1024**2
_BATCH_ROWS = 8192
_BATCH_BYTES = 8 * 1024**2
_READ_AHEAD_BYTES = 64 * 1024**2
_DELETED_SHARE = 0.1  # of a fragment's rows; beyond it, Lance rewrites the fragment without them
_DELTAS_MERGED = 20  # by default Lance adds one part to an index each time, and merges none
_ATTEMPTS = 5
_PAUSE_S = 0.2
_NEVER = timedelta(days=36500)
_CONFLICT = re.compile("conflict|preempted|concurrent writers|not found", re.IGNORECASE)
"""What plain OSErrors say if somebody else was quicker, and ValueErrors if another maintenance
removed the version that was being read."""
_RUST_PLACE = re.compile(r", /\S+\.rs:")

_Step = Callable[[], list[str]]


@dataclass(frozen=True)
class MaintenanceReport:
    """What the maintenance of one table did. `indices` names those that were brought up to date,
    `deferred` what conflicts left to the next time."""

    table: str
    versions_before: int
    versions_after: int
    fragments_before: int
    fragments_after: int
    versions_removed: int
    bytes_removed: int
    indices: tuple[str, ...]
    deferred: tuple[str, ...]
    wall_s: float


@dataclass
class _Tally:
    indices: set[str] = field(default_factory=set)
    versions_removed: int = 0
    bytes_removed: int = 0


def maintain(lake: Lake, table: Table, keep_versions: timedelta) -> MaintenanceReport:
    """Make missing indices, bring all up to date, merge small fragments, remove old versions.

    Who opened the table at most `keep_versions` ago can go on reading, and a write that began
    since then can commit; an older write fails, and loses nothing. Tagged versions stay. Files
    that a killed writer left behind go when they are 7 days old: until then Lance can't tell them
    from those of a writer at work. A table that needs nothing gets no new version.

    Raises TableMissingError if there is no such table. Conflicts don't raise: see the report.
    """
    started = time.monotonic()
    versions_before, fragments_before = _counts(lake, table)
    lake.bootstrap([table])
    tally = _Tally()
    steps: tuple[_Step, ...] = (
        partial(_refresh_indices, lake, table, tally),
        partial(_compact, lake, table),
        partial(_index_vectors, lake, table, tally),
        partial(_refresh_indices, lake, table, tally),  # compaction took its rows out of zones
        partial(_remove_versions, lake, table, tally, keep_versions),
    )
    deferred = [conflict for step in steps for conflict in _conflicts_left(step)]
    versions_after, fragments_after = _counts(lake, table)
    return MaintenanceReport(
        table=table.name,
        versions_before=versions_before,
        versions_after=versions_after,
        fragments_before=fragments_before,
        fragments_after=fragments_after,
        versions_removed=tally.versions_removed,
        bytes_removed=tally.bytes_removed,
        indices=tuple(sorted(tally.indices)),
        deferred=tuple(dict.fromkeys(deferred)),
        wall_s=time.monotonic() - started,
    )


def superseded(versions: Sequence[tuple[int, datetime]], before: datetime) -> list[int]:
    """Of versions and when they were committed, oldest first, those that were no longer the latest
    at `before`. A version's own age doesn't count: the latest of a quiet table is old, and read.
    """
    return [
        version for (version, _), (_, replaced_at) in pairwise(versions) if replaced_at < before
    ]


def _counts(lake: Lake, table: Table) -> tuple[int, int]:
    """How many versions there are, and fragments in the latest."""
    dataset = lake.dataset(table)
    return len(dataset.version_refs()), len(dataset.get_fragments())


def _conflicts_left(step: _Step) -> list[str]:
    """The conflicts that the last of several attempts still met."""
    conflicts = _conflicts(step)
    for _ in range(_ATTEMPTS - 1):
        if not conflicts:
            break
        time.sleep(random.uniform(0, _PAUSE_S))
        conflicts = _conflicts(step)
    return conflicts


def _conflicts(step: _Step) -> list[str]:
    """What the step says was left undone, or that all of it was, because of somebody else."""
    try:
        return step()
    except (OSError, ValueError, CommitConflictError) as error:
        reason = _RUST_PLACE.split(str(error))[0]
        if not _CONFLICT.search(reason):
            raise
        return [reason]


def _refresh_indices(lake: Lake, table: Table, tally: _Tally) -> list[str]:
    dataset = lake.dataset(table)
    fragments = {fragment.fragment_id for fragment in dataset.get_fragments()}
    stale = [
        index.name
        for index in dataset.describe_indices()
        if len(index.segments) > 1
        or fragments.difference(*(segment.fragment_ids for segment in index.segments))
    ]
    if stale:
        dataset.optimize.optimize_indices(index_names=stale, num_indices_to_merge=_DELTAS_MERGED)
        tally.indices.update(stale)
    return []


def _index_vectors(lake: Lake, table: Table, tally: _Tally) -> list[str]:
    made = index_vectors(lake.dataset(table))
    tally.indices.update([made] if made else [])
    return []


def _compact(lake: Lake, table: Table) -> list[str]:
    """Each piece is a commit of its own: a conflict or a kill costs one, and not all."""
    dataset = lake.dataset(table)

    def compact(piece: Any) -> list[str]:
        Compaction.commit(lake.dataset(table), [piece.execute(dataset)])
        return []

    pieces = Compaction.plan(dataset, _compaction_options(dataset)).tasks
    return [conflict for piece in pieces for conflict in _conflicts(partial(compact, piece))]


def _compaction_options(dataset: Any) -> Mapping[str, Any]:
    fragments = [fragment.metadata for fragment in dataset.get_fragments()]
    rows = sum(fragment.physical_rows for fragment in fragments)
    row_bytes = max(1, sum(map(_bytes_of, fragments)) // max(1, rows))
    return {
        "target_rows_per_fragment": min(_FRAGMENT_ROWS, max(1, FRAGMENT_BYTES // row_bytes)),
        # Lance's defaults hold a gigabyte of pictures in memory.
        "batch_size": min(_BATCH_ROWS, max(1, _BATCH_BYTES // row_bytes)),
        "io_buffer_size": _READ_AHEAD_BYTES,
        "materialize_deletions_threshold": _DELETED_SHARE,
        # By their rows they may look small again as soon as the mean row has grown smaller.
        "excluded_fragment_ids": [
            fragment.id
            for fragment in fragments
            if _bytes_of(fragment) >= FRAGMENT_BYTES / 2
            and fragment.num_deletions <= _DELETED_SHARE * fragment.physical_rows
        ],
    }


def _bytes_of(fragment: Any) -> int:
    return sum(file.file_size_bytes or 0 for file in fragment.files)


def _remove_versions(lake: Lake, table: Table, tally: _Tally, keep: timedelta) -> list[str]:
    dataset = lake.dataset(table)
    committed = [(version["version"], _utc(version["timestamp"])) for version in dataset.versions()]
    old = superseded(sorted(committed), datetime.now(UTC) - keep)
    removed = dataset.cleanup_old_versions(
        # Without any, abandoned files are still removed.
        **({"versions": old} if old else {"older_than": _NEVER}),
        error_if_tagged_old_versions=False,
    )
    tally.versions_removed += removed.old_versions
    tally.bytes_removed += removed.bytes_removed
    return []


def _utc(local: datetime) -> datetime:
    # Lance tells local time without its zone. In the hour that comes twice, the later one is meant:
    # a version that seems younger than it is stays a little longer.
    return local.replace(fold=1).astimezone(UTC)
