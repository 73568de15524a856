"""The addresses of exports: their pages, the same as JSON, and their files."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    RedirectResponse,
    StreamingResponse,
)

from lakehouse.export.archive import zipped
from lakehouse.export.manifest import CSV_NAME, JSON_NAME
from lakehouse.web.asked import Asked, AskedFor
from lakehouse.web.bodies import fields_of
from lakehouse.web.exports import FILE, NAME
from lakehouse.web.listing import clip_ids, known_ids
from lakehouse.web.models import Export, Exports, Problem
from lakehouse.web.reading import NotFound, Refused
from lakehouse.web.rendering import render
from lakehouse.web.site import Site

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (401, 403, 404, 422, 503)
}
_SEEN: dict[int | str, dict[str, Any]] = {303: {"description": "The page that shows it"}}
_FORM = {
    "requestBody": {
        "description": "`clip`, as often as there are clips, and `limit`.",
        "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
    }
}

Name = Annotated[str, Path(pattern=NAME, description="As in /api/exports.")]
File = Annotated[str, Path(pattern=FILE, max_length=255, description="As in the manifest.")]
Clips = Annotated[
    list[Annotated[str, Query(max_length=128)]],
    Query(max_length=200, alias="clip", description="These; else what is asked for."),
]
Limit = Annotated[
    int | None, Query(ge=1, description="The first so many clips; at most web.export_clips.")
]


def export_api_routes(site: Site) -> APIRouter:
    """The JSON."""
    router = APIRouter(responses=_PROBLEMS, tags=["json"])

    @router.get("/api/exports")
    def list_exports() -> Exports:
        """All exports that were asked for here, the latest first."""
        return Exports(exports=site.exporting.all())

    @router.post("/api/exports", status_code=202)
    def start_export(asked: AskedFor, clips: Clips = [], limit: Limit = None) -> Export:  # noqa: B006
        """Write clips as files: those named, or the first that match what is asked for. For the
        same clips it goes on with the same export."""
        return _started(site, asked, clips, limit)

    @router.get("/api/exports/{name}")
    def one_export(name: Name) -> Export:
        """How far an export is."""
        return site.exporting.one(name)

    @router.post("/api/exports/{name}/resume", status_code=202)
    def resume_export(name: Name) -> Export:
        """Go on with an export that was stopped, or try again what failed."""
        return site.exporting.resume(name)

    @router.post("/api/exports/{name}/cancel")
    def cancel_export(name: Name) -> Export:
        """End an export; it can be taken up again."""
        return site.exporting.cancel(name)

    @router.delete("/api/exports/{name}", status_code=204)
    def remove_export(name: Name) -> None:
        """End an export and remove its files."""
        site.exporting.remove(name)

    return router


def export_page_routes(site: Site) -> APIRouter:
    """The pages, and what their buttons ask for."""
    router = APIRouter(responses=_PROBLEMS, default_response_class=HTMLResponse, tags=["pages"])

    @router.get("/exports")
    def exports_page() -> HTMLResponse:
        """All exports."""
        return render("exports.html", exports=site.exporting.all())

    @router.post("/exports", status_code=303, responses=_SEEN, openapi_extra=_FORM)
    async def start(asked: AskedFor, request: Request) -> RedirectResponse:
        """Begin an export of the clips that were ticked, or of those that the page shows."""
        fields = await fields_of(request)
        clips = [value for name, value in fields if name == "clip"]
        limits = [value for name, value in fields if name == "limit"]
        if not all(limit.isdecimal() and limit.isascii() and len(limit) < 9 for limit in limits):
            raise Refused("the number of clips is a whole number")
        limit = int(limits[0]) if limits else None
        return _seen(await run_sync(_started, site, asked, clips, limit))

    @router.get("/exports/{name}")
    def export_page(name: Name) -> HTMLResponse:
        """One export: how far it is, and its files."""
        export = site.exporting.one(name)
        return render("export.html", export=export, entries=site.exporting.entries(name))

    @router.post("/exports/{name}/resume", status_code=303, responses=_SEEN)
    def resume(name: Name) -> RedirectResponse:
        """Go on with an export."""
        return _seen(site.exporting.resume(name))

    @router.post("/exports/{name}/cancel", status_code=303, responses=_SEEN)
    def cancel(name: Name) -> RedirectResponse:
        """End an export; it can be taken up again."""
        return _seen(site.exporting.cancel(name))

    @router.post("/exports/{name}/remove", status_code=303, responses=_SEEN)
    def remove(name: Name) -> RedirectResponse:
        """End an export and remove its files."""
        site.exporting.remove(name)
        return RedirectResponse("/exports", 303)

    return router


def export_file_routes(site: Site) -> APIRouter:
    """The files, as downloads."""
    router = APIRouter(responses=_PROBLEMS, default_response_class=Response, tags=["media"])

    @router.get("/exports/{name}/manifest.json", response_class=FileResponse)
    def manifest_json(name: Name) -> FileResponse:
        """What the export says of each clip."""
        return _download(site, name, JSON_NAME, "application/json")

    @router.get("/exports/{name}/manifest.csv", response_class=FileResponse)
    def manifest_csv(name: Name) -> FileResponse:
        """The same for a sheet."""
        return _download(site, name, CSV_NAME, "text/csv")

    @router.get("/exports/{name}/archive.zip", response_class=StreamingResponse)
    def archive(name: Name) -> StreamingResponse:
        """The manifests and all clips of an export that is done, as one ZIP."""
        top = f"kennel-{name}"
        headers = {"Content-Disposition": f'attachment; filename="{top}.zip"'}
        pieces = zipped(site.exporting.files(name), top)
        return StreamingResponse(pieces, headers=headers, media_type="application/zip")

    @router.get("/exports/{name}/{file}", response_class=FileResponse)
    def file(name: Name, file: File) -> FileResponse:
        """One clip of an export, as soon as it is there."""
        return _download(site, name, file, "video/mp4")

    return router


def _started(site: Site, asked: Asked, clips: list[str], limit: int | None) -> Export:
    """The export of these clips, or of those that are asked for. Raises NotFound for none."""
    web = site.settings.web
    most = min(limit or web.export_clips, web.export_clips)
    if clips:
        if len(clips) > web.export_clips:
            raise Refused(f"these are more than the {web.export_clips} clips of web.export_clips")
        chosen = known_ids(site.reading, clips)
        title, query = f"{len(chosen)} ticked {'clip' if len(chosen) == 1 else 'clips'}", ""
    else:
        found = clip_ids(site.reading, asked, site.example(asked), most + 1)
        chosen, query = found[:most], asked.query
        title = f"the first {most} of {asked}" if len(found) > most else str(asked)
    if not chosen:
        raise NotFound("no clip fits, so that there is nothing to export")
    return site.exporting.start(chosen, title, query)


def _seen(export: Export) -> RedirectResponse:
    return RedirectResponse(f"/exports/{export.name}", 303)


def _download(site: Site, name: str, file: str, media_type: str) -> FileResponse:
    path = site.exporting.file(name, file)
    return FileResponse(path, media_type=media_type, filename=file)
