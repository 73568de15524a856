"""A process of ours that runs one module and ends with the process that started it.

What it does, and what is said over its connection, belongs to the module: `worker`, or an export's.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType


def started(
    module: str,
    connection: int,
    *arguments: str,
    stderr: int = subprocess.DEVNULL,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Python on this module, which is given the number of a connection, then the arguments. Raises
    OSError.

    Not multiprocessing's spawn, which would import the parent's main module once more. The end of
    its standard input tells the process that its parent is gone, see `end_with_parent`.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(connection), *arguments],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(connection,),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path),
            **variables,
        },
    )


def end_with_parent() -> None:
    """In the process itself: it ends when its standard input does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def end_before_parent() -> None:
    """In the process itself: where the machine runs out of memory, it goes first."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
