"""The process of an export from the inside: takes one job and tells of every clip that is done.

Run by `job` as `python -m lakehouse.export.process CONNECTION`, and never imported by it.
"""

import sys
from multiprocessing.connection import Connection

import av.logging

from lakehouse.engine.child import end_before_parent, end_with_parent
from lakehouse.errors import UserError
from lakehouse.export.folder import export
from lakehouse.export.job import ExportLost, Job
from lakehouse.tables.lake import open_lake


def main() -> None:
    """Export, then say None, or the error that ended it."""
    connection = Connection(int(sys.argv[1]))
    end_with_parent()
    end_before_parent()
    av.logging.set_level(None)
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


if __name__ == "__main__":
    main()
