"""The clip browser as one ASGI application."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import move_on_after
from anyio.to_thread import current_default_thread_limiter, run_sync
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from lakehouse.errors import UserError
from lakehouse.settings import Settings
from lakehouse.storage.address import open_bucket
from lakehouse.storage.bucket import Bucket
from lakehouse.tables.lake import open_lake
from lakehouse.web.access import Access
from lakehouse.web.answers import answer_errors
from lakehouse.web.export_routes import (
    export_api_routes,
    export_file_routes,
    export_page_routes,
)
from lakehouse.web.media_routes import media_routes
from lakehouse.web.page_routes import api_routes, page_routes
from lakehouse.web.reading import Reading
from lakehouse.web.site import Site

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}")
_PAGE_THREADS = 6  # more would take turns at the same few cores; who waits is served in order
_WARM_UP_S = 5.0  # more, and something is out of reach
_STATIC = Path(__file__).parent / "static"


def create_app(
    settings: Settings, token: str | None = None, bucket: Bucket | None = None
) -> FastAPI:
    """The browser over the lake and the bucket that the settings name, or another bucket.

    Without a token only requests to names of this machine are answered. Both are opened when they
    are first needed: while they are out of reach, pages say so. Raises UserError for a token that
    is too short, or can't be sent in an address.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise UserError("the token must be 16 or more of A-Z, a-z, 0-9, '.', '_', '~' and '-'")
    site = Site(
        settings,
        Reading(open_lake(settings), settings),
        lambda: bucket or open_bucket(settings.bucket, settings.s3),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = _PAGE_THREADS
        with move_on_after(_WARM_UP_S):
            await run_sync(site.warm_up, abandon_on_cancel=True)
        yield
        await run_sync(site.close)

    app = FastAPI(
        title="Kennel",
        description="Clips of a lakehouse for robot-dog footage.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    answer_errors(app)
    for routes in (
        api_routes,
        media_routes,
        page_routes,
        export_api_routes,
        export_page_routes,
        export_file_routes,
    ):
        app.include_router(routes(site))
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(Access, token=token)
    return app
