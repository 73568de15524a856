"""A place for ingests: a bucket, lakes beside it, and `lakehouse` run there as a person runs it, in
processes of its own.

What lies in the bucket is `small_bucket`; what is done to the processes belongs to the benchmarks.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.small_bucket import CLIP_SETTINGS
from lakehouse.settings import S3Settings, Settings, load_settings

WORKERS = 2
_COMMAND = "from assets.command_line.app import main; main()"
_ENDED_S = 60.0
_NOTING_OPENED_FILES = """
import os, sys

def note(event, arguments, begin={begin!r}, log=os.open({log!r}, os.O_WRONLY | os.O_APPEND)):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(begin):
        os.write(log, (arguments[0] + "\\n").encode())

sys.addaudithook(note)
"""

Command = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Place:
    """A temporary folder, and settings that name a bucket, on S3 or in that folder."""

    folder: Path
    settings: Settings

    @property
    def is_local(self) -> bool:
        """Whether bucket and lakes are folders."""
        return "://" not in self.settings.bucket

    def with_lake(self, name: str) -> Settings:
        """The settings of a lake of this place; it is empty if the name is new."""
        return self.settings.model_copy(update={"lake": f"{self.settings.lake}/{name}"})

    def start(self, settings: Settings, *arguments: str, home: str = "dagster") -> Command:
        """`lakehouse` with these arguments, in a process group of its own.

        `home` names the folder of the Dagster instance; what it says goes to a file there.
        """
        dagster_home = self.folder / home
        if not dagster_home.is_dir():
            dagster_home.mkdir()
            (dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        with (dagster_home / "said").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-c", _COMMAND, *arguments],
                env={
                    **os.environ,
                    **self._environment(settings),
                    "DAGSTER_HOME": str(dagster_home),
                },
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, home: str = "dagster") -> str:
        """What the last command with this home said."""
        return (self.folder / home / "said").read_text(errors="replace").strip()

    def run(self, settings: Settings, *arguments: str) -> None:
        """The same, until it ends. Raises RuntimeError if it fails."""
        command = self.start(settings, *arguments)
        if command.wait():
            raise RuntimeError(f"lakehouse {' '.join(arguments)} failed:\n{self.said()}")

    def opened(self) -> Counter[str]:
        """How often each object of a folder was opened by a command since the last call."""
        log = self._opened_log
        lines = log.read_text().splitlines()
        os.truncate(log, 0)
        begin = len(self._bucket_folder) + 1
        return Counter(line[begin:] for line in lines)

    def remove(self, settings: Settings) -> None:
        """Remove a lake that nobody looks at any more: some servers list the slower, the more
        there is beside what they list."""
        if self.is_local:
            shutil.rmtree(settings.lake)
        else:
            name, _, prefix = settings.lake.removeprefix("s3://").partition("/")
            _bucket(name, settings.s3).objects.filter(Prefix=f"{prefix}/").delete()

    @property
    def _bucket_folder(self) -> str:
        return str(Path(self.settings.bucket).resolve())

    @property
    def _opened_log(self) -> Path:
        return self.folder / "hooks" / "opened"

    def _environment(self, settings: Settings) -> dict[str, str]:
        changed = settings.model_dump(mode="json", exclude_defaults=True)
        environment = dict(os.environ) | {
            f"LAKEHOUSE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in changed.items()
        }
        if not self.is_local:
            return environment
        # Python runs a module of this name at its start, in worker processes as well.
        hook = self._opened_log.with_name("sitecustomize.py")
        if not hook.exists():
            hook.parent.mkdir()
            self._opened_log.touch()
            code = _NOTING_OPENED_FILES.format(begin=self._bucket_folder, log=str(self._opened_log))
            hook.write_text(code)
        path = os.pathsep.join(filter(None, (str(hook.parent), os.environ.get("PYTHONPATH"))))
        return {**environment, "PYTHONPATH": path}


@contextmanager
def place(*, on_s3: bool, endpoint: str | None = None) -> Iterator[Place]:
    """An empty place that vanishes with the block.

    On S3 it is a new bucket at the endpoint, reached with the usual AWS variables; without an
    endpoint, at a server that is started for this.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder = Path(made)
        if not on_s3:
            (folder / "bucket").mkdir()
            yield Place(folder, _settings(f"{folder}/bucket", f"{folder}/lakes", S3Settings()))
        elif endpoint:
            with _on_s3(folder, endpoint) as there:
                yield there
        else:
            # Needs what the tests need.
            from tests.s3_server import ACCESS_KEY, SECRET_KEY, running  # noqa: PLC0415

            os.environ.update(AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET_KEY)
            with running(folder) as own, _on_s3(folder, own) as there:
                yield there


def kill(command: Command) -> None:
    """End the command and all processes that it started, at once, as `kill -9` does."""
    with suppress(ProcessLookupError):
        os.killpg(command.pid, signal.SIGKILL)
    command.wait(_ENDED_S)


@contextmanager
def _on_s3(folder: Path, endpoint: str) -> Iterator[Place]:
    s3 = S3Settings(endpoint=endpoint)
    name = f"kennel-{uuid4().hex[:12]}"
    bucket = _bucket(name, s3)
    bucket.create()
    try:
        yield Place(folder, _settings(f"s3://{name}/footage", f"s3://{name}/lakes", s3))
    finally:
        bucket.objects.delete()
        bucket.delete()


def _bucket(name: str, s3: S3Settings) -> Any:
    import boto3  # noqa: PLC0415, slow to import

    resource = boto3.session.Session().resource(
        "s3", endpoint_url=s3.endpoint, region_name=s3.region
    )
    return resource.Bucket(name)


def _settings(bucket: str, lake: str, s3: S3Settings) -> Settings:
    # Objects are laid whole, so that no run has to wait for them to settle.
    return load_settings(
        bucket=bucket, lake=lake, s3=s3, clips=CLIP_SETTINGS, workers=WORKERS, settle_s=0
    )
