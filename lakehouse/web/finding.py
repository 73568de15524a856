"""Search for the pages: `lakehouse.query`'s, and the vectors behind similar clips.

The one file that knows how a search is called; what of the clips is shown is `listing`.
"""

from dataclasses import dataclass
from typing import Any

from lakehouse.errors import UserError
from lakehouse.query.asked import Filters, Query
from lakehouse.query.tables import embedding_tables
from lakehouse.tables.lake import TableMissingError
from lakehouse.web.asked import Asked
from lakehouse.web.reading import Reading, Refused

MOST_MATCHES = 500
"""A search finds no more."""


@dataclass(frozen=True)
class Match:
    """A clip that was found, how similar it is where that was asked, and the caption that matched,
    if one did."""

    clip_id: str
    score: float | None
    text: str | None


def matching(reading: Reading, asked: Asked, image: bytes | None, filters: Filters) -> list[Match]:
    """The clips of the filters that match what is asked best, best first; `image` is the example
    picture.

    Raises Refused for a condition or an example that is none, and for a way that needs what isn't
    there; UserError where no search is possible.
    """
    query = Query(asked.text or None, image, asked.like or None, asked.by, fold=False)
    try:
        found = reading.opened.search(query, filters, MOST_MATCHES)
    except TableMissingError:
        raise
    except UserError as error:
        if asked.where or asked.by or asked.like or image:
            raise Refused(str(error)) from error
        raise
    return [
        Match(clip_id, None, matched)
        for clip_id, matched in found.select("clip_id", "text").iter_rows()
    ]


def similar(reading: Reading, clip_id: str, count: int) -> list[Match]:
    """The clips that look most like this one, by its first stored vector; none without one."""
    for table in embedding_tables(reading.settings).values():
        try:
            own = reading.rows(table, [clip_id], ["vector"])
            dataset = reading.dataset(table)
        except TableMissingError:
            continue
        if own:
            return _nearest(dataset, own[0]["vector"], clip_id, count)
    return []


def _nearest(dataset: Any, vector: Any, clip_id: str, count: int) -> list[Match]:
    # It finds itself, too, which is cheaper than to look at every id.
    nearest = {"column": "vector", "q": vector, "k": count + 1, "metric": "cosine"}
    found = dataset.scanner(columns=["clip_id", "_distance"], nearest=nearest).to_table()
    return [
        Match(row["clip_id"], 1 - row["_distance"], None)
        for row in found.to_pylist()
        if row["clip_id"] != clip_id
    ][:count]
