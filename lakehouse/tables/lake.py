"""Where the tables lie: opening them, and creating them once.

Writing rows is `commit`. Every write goes through a table that `bootstrap` made: creating a table
while others write to it would lose their rows.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

import filelock
import lance
import polars as pl
import pyarrow as pa

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings, Settings
from lakehouse.tables.partition import Partition
from lakehouse.tables.patience import is_of_the_store, patiently
from lakehouse.tables.schemas import Table

Result = TypeVar("Result")

_LOCK_TIMEOUT = timedelta(minutes=2)
_STORAGE_VERSION = "2.2"
_RUST_PLACE = re.compile(r", after \d|, /\S+\.rs:")  # retries, and where in Lance it happened
_NOT_FOUND = "was not found"  # Lance raises one ValueError for all that can go wrong


class TableMissingError(UserError):
    """The lake was never written to, or is another one than meant."""


@dataclass(frozen=True)
class Lake:
    """A folder or S3 prefix of Lance tables. `storage_options` hold credentials: never shown."""

    url: str
    storage_options: dict[str, str] = field(repr=False)
    s3: S3Settings | None

    def uri(self, table: Table) -> str:
        """The address of a table."""
        return f"{self.url}/{table.name}.lance"

    def dataset(self, table: Table) -> Any:
        """The table's latest version, as a LanceDataset.

        Raises TableMissingError if there is none, and UserError if the lake can't be reached.
        """
        options = self.storage_options or None
        try:
            return patiently(lambda: lance.dataset(self.uri(table), storage_options=options))
        except (OSError, ValueError) as error:
            if _NOT_FOUND in str(error):
                raise TableMissingError(
                    f"the lake {self.url} has no table {table.name}; run `lakehouse ingest` first"
                ) from error
            raise self._unreachable(error) from error

    def on(self, table: Table, work: Callable[[Any], Result]) -> Result:
        """What `work` makes of the table's latest version.

        Where the store fails, the work is done again, and must be of a kind that may be: reading,
        a merge by key, a deletion. Raises TableMissingError, and UserError where it fails for good.
        """
        try:
            return patiently(lambda: work(self.dataset(table)))
        except (OSError, ValueError) as error:
            if not is_of_the_store(error):
                raise
            raise self._unreachable(error) from error

    def exists(self, table: Table) -> bool:
        """Whether the table was created."""
        try:
            self.dataset(table)
        except TableMissingError:
            return False
        return True

    def bootstrap(self, tables: Iterable[Table]) -> None:
        """Create the tables that are missing, under a lock that holds all other creators off.

        What a killed bootstrap left undone is done by the next.
        """
        missing = [table for table in tables if self._missing_indices(table)]
        if not missing:
            return
        with self._lock():
            for table in missing:
                self._create_unless_there(table)
                for column, options in self._missing_indices(table).items():
                    self.on(table, methodcaller("create_scalar_index", column, **options))

    def read(
        self, table: Table, partition: Partition | None, columns: Sequence[str], where: str = ""
    ) -> pl.DataFrame:
        """Some columns of a partition's rows (of all rows without one); `where` narrows further."""
        filters = [partition.predicate if partition else "", where]
        where = " AND ".join(f"({f})" for f in filters if f)
        scanned = self.on(table, lambda d: d.to_table(columns=list(columns), filter=where or None))
        frame = pl.from_arrow(scanned)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _unreachable(self, error: Exception) -> UserError:
        return UserError(
            f"the lake {self.url} can't be reached; check its address, s3.endpoint and the "
            f"credentials: {_RUST_PLACE.split(str(error))[0]}"
        )

    def _create_unless_there(self, table: Table) -> None:
        def create() -> None:
            if self.exists(table):  # also where the answer to an earlier attempt was lost
                return
            lance.write_dataset(
                pa.Table.from_pylist([], schema=table.schema),
                self.uri(table),
                mode="create",
                enable_stable_row_ids=True,
                data_storage_version=_STORAGE_VERSION,
                storage_options=self.storage_options or None,
            )

        try:
            patiently(create)
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from error

    def _missing_indices(self, table: Table) -> dict[str, dict[str, Any]]:
        """Columns of the indices that the table lacks, with their options; all if there is none."""
        wanted = _indices(table)
        try:
            indices = self.on(table, methodcaller("describe_indices"))
        except TableMissingError:
            return wanted
        found = {name for index in indices for name in index.field_names}
        return {column: options for column, options in wanted.items() if column not in found}

    def _lock(self) -> AbstractContextManager[Any]:
        if self.s3 is not None:
            # boto3 is slow to import, and most lakes of one machine are folders.
            from lakehouse.storage.lock import s3_lock  # noqa: PLC0415
            from lakehouse.storage.s3 import S3Bucket  # noqa: PLC0415

            return s3_lock(S3Bucket(self.url, self.s3), "bootstrap.lock", _LOCK_TIMEOUT)
        try:
            Path(self.url).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the lake {self.url} can't be created: {error.strerror}; set LAKEHOUSE_LAKE"
            ) from error
        seconds = _LOCK_TIMEOUT.total_seconds()
        return filelock.FileLock(Path(self.url) / ".bootstrap.lock", timeout=seconds)


def _indices(table: Table) -> dict[str, dict[str, Any]]:
    # ICU finds words in Chinese, which has no spaces, as well as in English. Rows that come after
    # an index was last refreshed are searched all the same, only slower.
    words = {
        "index_type": "INVERTED",
        "base_tokenizer": "icu",
        "stem": False,
        "remove_stop_words": False,
    }
    return {
        "day": {"index_type": "ZONEMAP"},
        "camera": {"index_type": "BITMAP"},
        **dict.fromkeys(table.full_text, words),
    }


def among(column: str, values: Iterable[str]) -> str:
    """The filter of rows whose column holds one of these texts; of no row if there are none."""
    quoted = ("'" + value.replace("'", "''") + "'" for value in dict.fromkeys(values))
    return f"{column} IN ({', '.join(quoted) or 'NULL'})"


def open_lake(settings: Settings) -> Lake:
    """The lake that the settings name; nothing is created yet."""
    url = settings.lake.rstrip("/")
    if url.startswith("s3://"):
        # boto3 is slow to import, and most lakes of one machine are folders.
        from lakehouse.storage.s3 import lance_options  # noqa: PLC0415

        return Lake(url, lance_options(settings.s3, url), settings.s3)
    if "://" in url:
        raise UserError(f"LAKEHOUSE_LAKE is {url}; it must be a folder or s3://bucket/prefix")
    return Lake(str(Path(url).absolute()), {}, None)
