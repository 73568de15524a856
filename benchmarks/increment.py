"""What does a second ingest cost, when nothing has changed?

The peer is the first ingest of the same bucket; the floor is Dagster's own start, an `import` in
a process of its own. Everything runs as commands, as a person would run it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from benchmarks.footage import arguments, videos

_INGEST = "from assets.command_line.app import main; main()"
_FILES_A_PARTITION = 4
_FIRST_DAY = date(2025, 1, 1)


def main() -> None:
    """Lay the videos out as a bucket, ingest it twice, and print both beside Dagster's start."""
    asked = arguments(__doc__ or "")
    with videos(asked.footage) as files, tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        partitions = _lay_out(files, folder / "bucket")
        (folder / "dagster").mkdir()
        (folder / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        environment = {
            **os.environ,
            "LAKEHOUSE_BUCKET": str(folder / "bucket"),
            "LAKEHOUSE_LAKE": str(folder / "lake"),
            "DAGSTER_HOME": str(folder / "dagster"),
        }
        start_s = _run("import assets.definitions", environment)
        first_s = _run(_INGEST, environment, "ingest")
        before = _versions(folder / "lake")
        second_s = _run(_INGEST, environment, "ingest")
        unchanged = _versions(folder / "lake") == before
    print(f"Dagster's start {start_s:.1f} s; first ingest {first_s:.1f} s, second {second_s:.1f} s")
    print(
        json.dumps(
            {
                "files": len(files),
                "partitions": partitions,
                "start_s": start_s,
                "first_s": first_s,
                "second_s": second_s,
                "second_beyond_start_s_per_partition": max(0.0, second_s - start_s) / partitions,
                "ratio_second_to_first": second_s / first_s,
                "tables_unchanged": unchanged,
            }
        )
    )


def _lay_out(files: list[Path], bucket: Path) -> int:
    """A few files a partition; returns how many partitions there are."""
    for number, file in enumerate(files):
        day = _FIRST_DAY + timedelta(days=number // _FILES_A_PARTITION)
        target = bucket / "bench" / "front" / day.isoformat() / f"{number:04d}-{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return -(-len(files) // _FILES_A_PARTITION)


def _run(code: str, environment: Mapping[str, str], *arguments: str) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True)
    return time.monotonic() - started


def _versions(lake: Path) -> list[str]:
    """The names of all committed versions of all tables."""
    return sorted(str(path.relative_to(lake)) for path in lake.rglob("*.manifest"))


if __name__ == "__main__":
    main()
