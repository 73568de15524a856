"""The addresses of pictures and videos."""

from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from lakehouse.tables.schemas import FRAMES
from lakehouse.video.mp4.slicer import Plan
from lakehouse.web.models import Problem
from lakehouse.web.reading import NotFound
from lakehouse.web.site import Id, Site
from lakehouse.web.streaming import respond
from lakehouse.web.tasks import CutTask, PreviewTask

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem},
    422: {"model": Problem},
    503: {"model": Problem},
}
_RANGES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": {}}},
    206: {"content": {"video/mp4": {}}, "description": "The range that was asked for"},
    304: {"description": "Not changed"},
    416: {"model": Problem},
    **_PROBLEMS,
}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    304: {"description": "Not changed"},
    **_PROBLEMS,
}


def media_routes(site: Site) -> APIRouter:
    """Their routes."""
    router = APIRouter(tags=["media"])

    @router.get("/frames/{frame_id}.jpg", response_class=Response, responses=_PICTURE)
    def frame(frame_id: Id, request: Request) -> Response:
        """A stored frame."""
        if not site.reading.ask("SELECT 1 FROM frames WHERE frame_id = ?", [frame_id]):
            raise NotFound(f"there is no frame {frame_id}, or its footage was removed or replaced")
        return _jpeg(site, request, frame_id, "private, max-age=31536000, immutable")

    @router.get("/examples/{image}.jpg", response_class=Response, responses=_PICTURE)
    def example(image: Id) -> Response:
        """An example picture that is searched with."""
        return Response(site.examples.read(image), media_type="image/jpeg")

    @router.get("/clips/{clip_id}/poster.jpg", response_class=Response, responses=_PICTURE)
    def poster(clip_id: Id, request: Request) -> Response:
        """The middle frame of a clip."""
        query = "SELECT frame_id FROM frames WHERE clip_id = ? ORDER BY pts"
        rows = site.reading.ask(query, [clip_id])
        if not rows:
            raise NotFound(f"there is no frame of a clip {clip_id}")
        middle = rows[len(rows) // 2]["frame_id"]
        return _jpeg(site, request, middle, "private, no-cache")

    @router.get("/clips/{clip_id}/video.mp4", response_class=Response, responses=_RANGES)
    async def video(clip_id: Id, request: Request) -> Response:
        """The clip as `lakehouse clip` writes it: not encoded anew, and exact to the frame."""
        footage, seconds = await run_sync(site.footage, clip_id)
        tag = f"{footage.key} {footage.etag} {footage.start_pts} {footage.end_pts}"
        if footage.container == "mov":
            opened = partial(site.plans.open, footage)
            limiter = site.reading_media if site.plans.knows(footage) else site.planning
            source, plan = await run_sync(opened, limiter=limiter)
            if plan is not None:
                name = f"{clip_id}.mp4"
                return respond(request, source, plan, tag, name, site.reading_media)
            source.close()
        return await _made(request, CutTask(footage), seconds, tag, f"{clip_id}.mp4")

    @router.get("/clips/{clip_id}/preview.mp4", response_class=Response, responses=_RANGES)
    async def preview(clip_id: Id, request: Request) -> Response:
        """The clip as every browser plays it: smaller, without sound, encoded when asked for."""
        footage, seconds = await run_sync(site.footage, clip_id)
        task = PreviewTask(footage, site.settings.web.preview_px)
        tag = f"preview {footage.key} {footage.etag} {footage.start_pts} {footage.end_pts}"
        return await _made(request, task, seconds, tag, f"{clip_id}-preview.mp4")

    async def _made(
        request: Request, task: CutTask | PreviewTask, seconds: float, tag: str, name: str
    ) -> Response:
        file = await site.previews.open(task, seconds)
        size_bytes = file.seek(0, 2)
        plan = Plan(b"", ((0, size_bytes),))
        return respond(request, file, plan, tag, name, site.reading_media)

    return router


def _jpeg(site: Site, request: Request, frame_id: str, kept: str) -> Response:
    """The picture of a frame; nothing where the browser has it already."""
    # An id ends in what its frame was made from: another picture has another id.
    headers = {"Cache-Control": kept, "ETag": f'"{frame_id}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    rows = site.reading.rows(FRAMES, [frame_id], ["jpeg"])
    if not rows:
        raise NotFound(f"frame {frame_id} was replaced just now")
    return Response(rows[0]["jpeg"], media_type="image/jpeg", headers=headers)
