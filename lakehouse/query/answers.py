"""The answer to a query as text or as a file: CSV, JSON or Parquet.

Rows are written as they come, so that an answer may be larger than the memory. A table for people
belongs to the command line.
"""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from lakehouse.errors import UserError
from lakehouse.query.sql import Answer


def write_csv(answer: Answer, file: IO[str]) -> None:
    """With a line of names. Lists and structures are JSON in their cell; null is an empty cell."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.names)
    writer.writerows([_cell(value) for value in row] for row in answer.rows())


def write_json(answer: Answer, file: IO[str]) -> None:
    """One array, with an object for each row."""
    write_objects(answer.names, answer.rows(), file)


def write_objects(names: Sequence[str], rows: Iterable[Sequence[Any]], file: IO[str]) -> None:
    """One JSON array, with an object for each row."""
    file.write("[")
    for number, row in enumerate(rows):
        values = dict(zip(names, map(json_value, row), strict=True))
        file.write(", " if number else "")
        file.write(json.dumps(values, default=str, ensure_ascii=False))
    file.write("]\n")


def write_parquet(answer: Answer, path: Path) -> None:
    """With the types of the query."""
    import pyarrow.parquet as pq  # noqa: PLC0415  slow to import, and few ask for it

    batches = answer.batches()
    with pq.ParquetWriter(path, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def save(answer: Answer, form: str, target: Path) -> None:
    """The answer as a file, `form` being csv, json or parquet; whole or not at all.

    Raises UserError where it can't be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        try:
            if form == "parquet":
                write_parquet(answer, partial)
            else:
                with partial.open("w", encoding="utf-8", newline="") as file:
                    (write_csv if form == "csv" else write_json)(answer, file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{target} can't be written: {error.strerror or error}") from error


def json_value(value: object) -> object:
    """JSON has no word for what is not a number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: object) -> object:
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return value
