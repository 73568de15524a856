"""Which clips are exported: ids that somebody wrote down, a query's, or a search's.

Each way gives ids in their order, once each. Whether there is such a clip is told by the export,
clip by clip.
"""

from collections.abc import Iterable

from lakehouse.errors import UserError
from lakehouse.query.asked import Filters, Query
from lakehouse.query.search import search
from lakehouse.query.sql import read_only
from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake

_COLUMN = "clip_id"


def by_ids(ids: Iterable[str]) -> list[str]:
    """The ids, without blanks around them and repetitions. Raises UserError for none."""
    return _some(clip_id.strip() for clip_id in ids)


def by_sql(lake: Lake, settings: Settings, query: str) -> list[str]:
    """The column `clip_id` of what a SELECT over the views yields.

    Raises UserError for SQL that fails, has no such column, or yields nothing.
    """
    with connect(lake, settings) as connection:
        names, rows = read_only(connection, query)
    if _COLUMN not in names:
        raise UserError(f"the query yields {', '.join(names)}; it must yield a column {_COLUMN}")
    place = names.index(_COLUMN)
    return _some(str(row[place]) for row in rows if row[place] is not None)


def by_search(
    lake: Lake, settings: Settings, query: Query, filters: Filters, limit: int
) -> list[str]:
    """What a search finds, best first. Raises UserError where it finds nothing."""
    return _some(search(lake, settings, query, filters, limit).get_column(_COLUMN).to_list())


def _some(ids: Iterable[str]) -> list[str]:
    chosen = [clip_id for clip_id in dict.fromkeys(ids) if clip_id]
    if not chosen:
        raise UserError("no clip is selected; give other ids, or a query or search that finds some")
    return chosen
