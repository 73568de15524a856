"""The addresses of pages, and of the same as JSON under /api."""

from datetime import date
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from lakehouse.query.asked import By
from lakehouse.web.asked import AskedFor
from lakehouse.web.bodies import body_of
from lakehouse.web.clip import clip_detail
from lakehouse.web.day import day_detail, days
from lakehouse.web.examples import MOST_BYTES
from lakehouse.web.listing import clip_list
from lakehouse.web.models import ClipDetail, ClipList, DayDetail, Days, Example, Health, Problem
from lakehouse.web.rendering import render
from lakehouse.web.site import Id, Site

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (401, 404, 422, 503)
}
_PICTURE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def api_routes(site: Site) -> APIRouter:
    """The JSON."""
    router = APIRouter(responses=_PROBLEMS, tags=["json"])

    @router.get("/api/clips")
    def list_clips(asked: AskedFor) -> ClipList:
        """Clips that match, best first; without words or an example all, the latest day first."""
        return clip_list(site.reading, asked, site.example(asked))

    @router.get("/api/clips/{clip_id}")
    def one_clip(clip_id: Id) -> ClipDetail:
        """Everything about a clip."""
        return clip_detail(site.reading, clip_id)

    @router.get("/api/days")
    def list_days() -> Days:
        """All days, with where their seconds went."""
        return days(site.reading)

    @router.get("/api/days/{day}")
    def one_day(day: date) -> DayDetail:
        """The ledger of a day, by camera, recording and clip."""
        return day_detail(site.reading, day)

    @router.post("/api/examples", status_code=201, openapi_extra=_PICTURE)
    async def keep_example(request: Request) -> Example:
        """Keep a picture, a JPEG or PNG, to search for clips that look like it."""
        picture = await body_of(request, MOST_BYTES)
        return Example(image=await run_sync(site.examples.keep, picture))

    @router.get("/healthz")
    def health() -> Health:
        """Whether the lake can be read."""
        site.reading.ask("SELECT count(*) FROM recordings")
        return Health(status="ok")

    return router


def page_routes(site: Site) -> APIRouter:
    """The pages, of the same models."""
    router = APIRouter(responses=_PROBLEMS, default_response_class=HTMLResponse, tags=["pages"])

    @router.get("/")
    def search_page(asked: AskedFor) -> HTMLResponse:
        """Search, filters, and clips."""
        found = clip_list(site.reading, asked, site.example(asked))
        most = site.settings.web.export_clips
        return render("search.html", found=found, asked=asked, ways=list(By), most=most)

    @router.get("/clips/{clip_id}")
    def clip_page(clip_id: Id) -> HTMLResponse:
        """One clip."""
        return render("clip.html", clip=clip_detail(site.reading, clip_id))

    @router.get("/days")
    def days_page() -> HTMLResponse:
        """All days."""
        return render("days.html", days=days(site.reading).days)

    @router.get("/days/{day}")
    def day_page(day: date) -> HTMLResponse:
        """One day as a timeline."""
        return render("day.html", day=day_detail(site.reading, day))

    return router
