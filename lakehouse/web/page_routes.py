"""The addresses of pages, and of the same as JSON under /api."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BeforeValidator

from lakehouse.web.clip import clip_detail
from lakehouse.web.day import day_detail, days
from lakehouse.web.listing import Asked, Verdict, clip_list
from lakehouse.web.models import ClipDetail, ClipList, DayDetail, Days, Health, Problem
from lakehouse.web.rendering import render
from lakehouse.web.site import Id, Site

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (401, 404, 422, 503)
}


def _unless_empty(value: object) -> object:
    """Forms send empty fields, too."""
    return value or None


Day = Annotated[date | None, BeforeValidator(_unless_empty), Query(description="YYYY-MM-DD.")]


def _asked(
    q: Annotated[str, Query(max_length=500, description="Words of a caption.")] = "",
    first_day: Day = None,
    last_day: Day = None,
    camera: Annotated[
        list[Annotated[str, Query(max_length=300)]],
        Query(max_length=200, description="Any of these."),
    ] = [],  # noqa: B006, FastAPI copies it
    verdict: Annotated[Verdict, Query(description="What became of the clip.")] = "any",
    where: Annotated[
        str,
        Query(max_length=2000, description="SQL over clips, recordings, scores and verdicts."),
    ] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Asked:
    cameras = tuple(name for name in camera if name)
    return Asked(q.strip(), first_day, last_day, cameras, verdict, where.strip(), page)


AskedFor = Annotated[Asked, Depends(_asked)]


def api_routes(site: Site) -> APIRouter:
    """The JSON."""
    router = APIRouter(responses=_PROBLEMS, tags=["json"])

    @router.get("/api/clips")
    def list_clips(asked: AskedFor) -> ClipList:
        """Clips that match, best first; without words all, the latest day first."""
        return clip_list(site.reading, asked)

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
    def search_page(asked: AskedFor, request: Request) -> HTMLResponse:
        """Search, filters, and clips."""
        found = clip_list(site.reading, asked)
        pages = {
            step: str(request.url.include_query_params(page=asked.page + step).query)
            for step in (-1, 1)
        }
        return render("search.html", found=found, asked=asked, pages=pages)

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
