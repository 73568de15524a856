"""Recognising footage that was decoded before, under another key or etag.

Which recordings may be the same is told by a hint that costs nothing; whether they are, by the hash
of their compressed packets, for which the object is read but not decoded. Captions and embeddings
need no search: a clip that was reused names the clip whose rows can be reused with it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.stages.stage import without_provenance
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, Table

SHOWN = (
    "container",
    "codec",
    "pixel_format",
    "width",
    "height",
    "rotation_deg",
    "time_base_num",
    "time_base_den",
    "start_pts",
    "duration_s",
    "frame_rate",
)
"""What of a recording, besides its packets, decides how it is decoded and shown."""
CLIP_COLUMNS = (
    "clip_id",
    "recording_id",
    "etag",
    "day",
    "camera",
    "start_s",
    "end_s",
    "frames_hash",
    "reused_from",
)
"""What of a clip decides what is made of its frames, and whose rows can be reused for it."""
_FRAMES_AT_ONCE = 256


@dataclass(frozen=True)
class Donor:
    """A recording that was decoded without an error, and the hash of its packets: see
    `shown_packets`. The object that it was decoded from may be another one by now."""

    recording_id: str
    etag: str
    packets_hash: str
    partition: Partition
    stage_version: str
    profile: str

    @property
    def clips(self) -> str:
        """Its clips, as a filter."""
        return (
            f"recording_id = '{self.recording_id}' AND {among('etag', [self.etag])} AND "
            f"stage_version = '{self.stage_version}' AND profile = '{self.profile}'"
        )


def shown_packets(recording: Mapping[str, Any], packets_hash: str | None) -> str | None:
    """The hash of a recording's packets and of how they are shown; none where none is known."""
    if packets_hash is None:
        return None
    return fingerprint(packets_hash, [recording[name] for name in SHOWN])


def donors_of(
    lake: Lake, recordings: Iterable[Mapping[str, Any]], stage_version: str, profile: str
) -> dict[str, list[Donor]]:
    """For each of these rows of `recordings`, those that may hold the same footage: in any
    partition, gone or not, decoded by the same version and profile. Most have none."""
    wanted = [row for row in recordings if row["first_packet_hash"] and row["error"] is None]
    if not wanted:
        return {}
    hints = {row["first_packet_hash"] for row in wanted}
    columns = ["recording_id", "first_packet_hash"]
    alike: dict[str, list[str]] = {}
    hinted = lake.read(RECORDINGS, None, columns, among("first_packet_hash", hints))
    for found, hint in hinted.iter_rows():
        alike.setdefault(hint, []).append(found)
    same = {row["recording_id"]: alike.get(row["first_packet_hash"], []) for row in wanted}
    decoded = _decoded(
        lake, {found for ids in same.values() for found in ids}, stage_version, profile
    )
    etags = {row["recording_id"]: row["etag"] for row in wanted}
    donors = {
        wanted_id: [
            donor
            for found in ids
            for donor in decoded.get(found, ())
            if (donor.recording_id, donor.etag) != (wanted_id, etags[wanted_id])
        ]
        for wanted_id, ids in same.items()
    }
    return {wanted_id: found for wanted_id, found in donors.items() if found}


def clips_of(lake: Lake, donor: Donor) -> list[dict[str, Any]]:
    """The donor's clips; none if they were made anew or removed meanwhile."""
    return lake.read(CLIPS, donor.partition, CLIPS.schema.names, donor.clips).to_dicts()


def copied_clips(
    clips: Iterable[Mapping[str, Any]], donor: Donor, identity: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The donor's clips as those of the recording with these columns of `IDENTITY`."""
    return [
        {
            **without_provenance(row),
            **identity,
            "clip_id": _renamed(row["clip_id"], donor, identity),
            "reused_from": row["clip_id"],
        }
        for row in clips
    ]


def copied_frames(
    lake: Lake,
    clips: Iterable[Mapping[str, Any]],
    donor: Donor,
    identity: Mapping[str, Any],
) -> Iterator[list[dict[str, Any]]]:
    """The frames of the donor's clips likewise, a few at a time. Their ids are without what the
    frames were made from."""
    made = {(clip["clip_id"], clip["fingerprint"], clip["attempts"]) for clip in clips}
    where = f"recording_id = '{donor.recording_id}'"
    columns = ["frame_id", "clip_id", "fingerprint", "attempts"]
    ids = sorted(
        frame_id
        for frame_id, *of in lake.read(FRAMES, donor.partition, columns, where).iter_rows()
        if tuple(of) in made
    )
    for start in range(0, len(ids), _FRAMES_AT_ONCE):
        chosen = among("frame_id", ids[start : start + _FRAMES_AT_ONCE])
        rows = lake.read(FRAMES, donor.partition, FRAMES.schema.names, chosen).to_dicts()
        yield [
            {
                **without_provenance(row),
                **identity,
                "clip_id": _renamed(row["clip_id"], donor, identity),
                "frame_id": _renamed(row["frame_id"], donor, identity).rpartition("-")[0],
            }
            for row in rows
        ]


def copied_rows(
    lake: Lake,
    table: Table,
    clips: Iterable[Mapping[str, Any]],
    donor_key: Callable[[str], str],
    is_made_from_the_same: Callable[[Mapping[str, Any], Mapping[str, Any]], bool],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """For clips that were reused, what `table` holds of the clip that they are copies of: pairs of
    clip id and row, without provenance, with the identity of the clip but for the table's own key.

    `donor_key` makes the table's key of a clip id; `is_made_from_the_same` compares a row with a
    clip.
    """
    copies: dict[str, list[Mapping[str, Any]]] = {}
    for clip in clips:
        if clip["reused_from"]:
            copies.setdefault(donor_key(clip["reused_from"]), []).append(clip)
    if not copies:
        return
    where = among(table.key, copies)
    for row in lake.read(table, None, table.schema.names, where).iter_rows(named=True):
        for clip in copies[row[table.key]]:
            if is_made_from_the_same(row, clip):
                copied = {**without_provenance(row), **identity_of(clip)}
                yield clip["clip_id"], {**copied, "reused_from": row[table.key]}


def identity_of(clip: Mapping[str, Any]) -> dict[str, Any]:
    """The columns by which rows about a clip say whose they are."""
    return {name: clip[name] for name in ("clip_id", "recording_id", "etag", "day", "camera")}


def _decoded(
    lake: Lake, recording_ids: set[str], stage_version: str, profile: str
) -> dict[str, list[Donor]]:
    """Of these recordings, those all of whose clips could be made."""
    columns = ["recording_id", "etag", "packets_hash", "day", "camera", "error"]
    where = (
        f"{among('recording_id', recording_ids)} AND profile = '{profile}' "
        f"AND stage_version = '{stage_version}'"
    )
    clips = lake.read(CLIPS, None, columns, where)
    failed = set(clips.filter(clips["error"].is_not_null()).get_column("recording_id"))
    found: dict[str, list[Donor]] = {}
    for recording_id, etag, packets_hash, day, camera in (
        clips.select(columns[:5]).unique().iter_rows()
    ):
        if packets_hash is not None and recording_id not in failed:
            partition = Partition(day, camera)
            donor = Donor(recording_id, etag, packets_hash, partition, stage_version, profile)
            found.setdefault(recording_id, []).append(donor)
    return found


def _renamed(row_id: str, donor: Donor, identity: Mapping[str, Any]) -> str:
    return str(identity["recording_id"]) + row_id.removeprefix(donor.recording_id)
