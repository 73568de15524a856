"""Whether two lakes hold the same: every row of every table, by key and by all that is in it.

Left out is what tells only when and by which run a row was written, and the reports of days, which
tell how many runs it took.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakehouse.query.tables import all_tables
from lakehouse.settings import Settings
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import open_lake
from lakehouse.tables.schemas import DAILY_REPORTS

_OF_THE_RUN = {"run_id", "seconds"}
_ROW = "content_hash"  # a column of the tables whose rows are made from footage

Row = tuple[str, str]
"""Its key, and a hash of all else."""
Rows = Counter[Row]
Contents = dict[str, Rows]
"""How often each row is there, by table."""


@dataclass(frozen=True)
class Difference:
    """How one table differs from what it should be, in rows: `lost` and `foreign` count keys that
    only one of the two has, `changed` keys with another row, and `doubled` every row too many."""

    table: str
    rows: int
    lost: int
    foreign: int
    changed: int
    doubled: int

    @property
    def is_none(self) -> bool:
        """Whether the table is what it should be."""
        return not (self.lost or self.foreign or self.changed or self.doubled)


def contents(settings: Settings) -> Contents:
    """All rows that were made from footage, whatever views show of them. Raises UserError where
    there is no lake."""
    lake = open_lake(settings)
    found: Contents = {}
    for table in all_tables(settings):
        if _ROW in table.schema.names and table is not DAILY_REPORTS:
            columns = [name for name in table.schema.names if name not in _OF_THE_RUN]
            rows = lake.read(table, None, columns).iter_rows(named=True)
            found[table.name] = Counter((row[table.key], fingerprint(row)) for row in rows)
    return found


def differences(found: Contents, expected: Contents) -> list[Difference]:
    """Table by table; the tables are those of `expected`."""
    return [_difference(name, found.get(name, Counter()), rows) for name, rows in expected.items()]


def table_of(differences: Sequence[Difference]) -> str:
    """The figures as lines for people, one a table."""
    lines = [f"  {'table':<28}{'rows':>7}{'lost':>7}{'foreign':>9}{'changed':>9}{'doubled':>9}"]
    lines += [
        f"  {of.table:<28}{of.rows:>7}{of.lost:>7}{of.foreign:>9}{of.changed:>9}{of.doubled:>9}"
        for of in differences
    ]
    return "\n".join(lines)


def _difference(name: str, found: Rows, expected: Rows) -> Difference:
    found_keys, expected_keys = dict(found.keys()), dict(expected.keys())
    common = found_keys.keys() & expected_keys.keys()
    return Difference(
        table=name,
        rows=found.total(),
        lost=len(expected_keys.keys() - common),
        foreign=len(found_keys.keys() - common),
        changed=sum((key, expected_keys[key]) not in found for key in common),
        doubled=doubled(found),
    )


def doubled(rows: Rows) -> int:
    """How many rows have the key of another one."""
    return rows.total() - len({key for key, _ in rows})


def all_doubled(found: Mapping[str, Rows]) -> int:
    """The same of all tables."""
    return sum(doubled(rows) for rows in found.values())
