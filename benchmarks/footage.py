"""Which videos a benchmark reads: a folder of somebody's, or sample footage made for it."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.sample.footage import BUCKET_FOLDER, SampleOptions, write_sample
from lakehouse.storage.bucket import is_footage


def arguments(description: str) -> argparse.Namespace:
    """The command line that all benchmarks share: `--footage DIR`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--footage", type=Path, help="a folder of videos; without it, sample footage is made"
    )
    return parser.parse_args()


@contextmanager
def videos(folder: Path | None) -> Iterator[list[Path]]:
    """The videos under the folder, or those of a sample that is removed afterwards."""
    with tempfile.TemporaryDirectory() as made:
        if folder is None:
            write_sample(Path(made), SampleOptions(), workers=2)
            folder = Path(made) / BUCKET_FOLDER
        yield sorted(p for p in folder.rglob("*") if p.is_file() and is_footage(p.name))
