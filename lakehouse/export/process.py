"""The process of an export from the inside: takes one job and tells of every clip that is done.

Run by `job` as `python -m lakehouse.export.process CONNECTION`, and never imported by it.
"""

import os
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import av.logging

from lakehouse.errors import UserError
from lakehouse.export.folder import export
from lakehouse.export.job import ExportLost, Job
from lakehouse.tables.lake import open_lake


def main() -> None:
    """Export, then say None, or the error that ended it."""
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    av.logging.set_level(None)
    with suppress(OSError):  # where the machine runs out of memory, an export goes before a server
        Path("/proc/self/oom_score_adj").write_text("1000")
    job: Job = connection.recv()
    try:
        export(
            open_lake(job.settings),
            job.settings,
            job.bucket,
            job.clip_ids,
            job.folder,
            workers=job.workers,
            on_done=lambda progress, entry: connection.send((progress, entry)),
        )
    except UserError as error:
        connection.send(UserError(str(error)))
    except Exception as error:
        connection.send(ExportLost(f"{type(error).__name__}: {error}"))
    else:
        connection.send(None)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
