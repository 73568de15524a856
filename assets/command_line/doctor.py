"""`lakehouse doctor`: what is installed, configured and reachable, and what to do otherwise."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice

import httpx
import typer

from assets.command_line.console import out
from assets.command_line.instance import dagster_home
from lakehouse.errors import UserError
from lakehouse.models.captioners.registry import load as load_captioner
from lakehouse.query.views import all_tables
from lakehouse.settings import OpenAICaptioner, Settings, load_settings, settings_file
from lakehouse.storage.address import open_bucket
from lakehouse.storage.keys import KeyFields, KeyPattern
from lakehouse.tables.lake import open_lake

_CORE = ("dagster", "pylance", "duckdb", "polars", "av", "scenedetect-headless", "boto3")
_EXTRAS = {"torch": "torch", "transformers": "torch", "vllm": "vllm"}
_SAMPLE_KEYS = 1000
_PATIENCE_S = 5.0
_REFUSED = (401, 403)


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `ok` is none for what is merely absent."""

    ok: bool | None
    what: str
    detail: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor() -> None:
    """Look at packages, settings, bucket, lake and models. Exit code 1 if something is wrong."""
    wrong = False
    for finding in _findings():
        mark = {True: "[green]ok[/]     ", False: "[red]wrong[/]  ", None: "[dim]absent[/] "}
        out.print(mark[finding.ok], end="")
        out.print(
            f"{finding.what}: {finding.detail}", markup=False, highlight=False, soft_wrap=True
        )
        wrong = wrong or finding.ok is False
    if wrong:
        raise typer.Exit(1)


def _findings() -> Iterator[Finding]:
    yield Finding(sys.version_info >= (3, 11), "python", sys.version.split()[0])
    yield from (_installed(name) for name in _CORE)
    yield from (_extra(name, extra) for name, extra in _EXTRAS.items())
    file = settings_file()
    yield Finding(True, "settings", str(file) if file else "environment and defaults, no file")
    settings = load_settings()
    yield _tried("bucket", lambda: _bucket(settings))
    yield _tried("lake", lambda: _lake(settings))
    yield _tried("dagster", lambda: f"instance in {dagster_home()}")
    for variant, captioner in settings.captioners.items():
        if isinstance(captioner, OpenAICaptioner):
            yield _tried(f"captioner {variant}", partial(_endpoint, captioner))
        else:
            yield Finding(True, f"captioner {variant}", "measured baseline, needs nothing")
    for variant in settings.embedders:
        yield Finding(True, f"embedder {variant}", "handcrafted baseline, needs nothing")


def _installed(name: str) -> Finding:
    try:
        return Finding(True, name, version(name))
    except PackageNotFoundError:
        return Finding(False, name, "not installed; run `pip install -e .` in the checkout")


def _extra(name: str, extra: str) -> Finding:
    try:
        return Finding(True, name, version(name))
    except PackageNotFoundError:
        return Finding(None, name, f"optional; `pip install -e '.[{extra}]'` brings it")


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(True, what, look())
    except UserError as error:
        return Finding(False, what, str(error))


def _bucket(settings: Settings) -> str:
    pattern = KeyPattern.parse(settings.key_pattern)
    bucket = open_bucket(settings.bucket, settings.s3)
    keys = [info.key for info in islice(bucket.list(), _SAMPLE_KEYS)]
    fitting = sum(isinstance(pattern.match(key), KeyFields) for key in keys)
    return f"{bucket.url}, {fitting} of its first {len(keys)} keys fit {settings.key_pattern}"


def _lake(settings: Settings) -> str:
    lake = open_lake(settings)
    tables = [table for table in all_tables(settings) if lake.exists(table)]
    rows = sum(lake.dataset(table).count_rows() for table in tables)
    return (
        f"{lake.url}, {len(tables)} tables, {rows} rows" if tables else f"{lake.url}, not yet made"
    )


def _endpoint(captioner: OpenAICaptioner) -> str:
    load_captioner(captioner)  # refuses an address or a key that must not be shown
    key = os.environ.get(captioner.api_key_variable)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{captioner.base_url}/models", headers=headers, timeout=_PATIENCE_S)
    except (httpx.HTTPError, ValueError) as error:
        raise UserError(
            f"{captioner.base_url} does not answer ({type(error).__name__}); start the server or "
            "correct base_url"
        ) from None
    if answer.status_code in _REFUSED:
        raise UserError(
            f"{captioner.base_url} refuses the key ({answer.status_code}); set "
            f"{captioner.api_key_variable} to a key that it accepts"
        )
    return f"{captioner.base_url} answers with status {answer.status_code}"
