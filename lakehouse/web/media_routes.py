"""The addresses of pictures and videos."""

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
_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}, **_PROBLEMS}


def media_routes(site: Site) -> APIRouter:
    """Their routes."""
    router = APIRouter(tags=["media"])

    @router.get("/frames/{frame_id}.jpg", response_class=Response, responses=_PICTURE)
    def frame(frame_id: Id) -> Response:
        """A stored frame."""
        return _jpeg(site, frame_id)

    @router.get("/clips/{clip_id}/poster.jpg", response_class=Response, responses=_PICTURE)
    def poster(clip_id: Id) -> Response:
        """The middle frame of a clip."""
        query = "SELECT frame_id FROM frames WHERE clip_id = ? ORDER BY pts"
        rows = site.reading.ask(query, [clip_id])
        if not rows:
            raise NotFound(f"there is no frame of a clip {clip_id}")
        response = _jpeg(site, rows[len(rows) // 2]["frame_id"])
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    @router.get("/clips/{clip_id}/video.mp4", response_class=Response, responses=_RANGES)
    async def video(clip_id: Id, request: Request) -> Response:
        """The clip as `lakehouse clip` writes it: not encoded anew, and exact to the frame."""
        footage, seconds = await run_sync(site.footage, clip_id)
        tag = f"{footage.key} {footage.etag} {footage.start_pts} {footage.end_pts}"
        if footage.container == "mov":
            source, plan = await run_sync(site.plans.open, footage)
            if plan is not None:
                return respond(request, source, plan, tag, f"{clip_id}.mp4")
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
        return respond(request, file, Plan(b"", ((0, size_bytes),)), tag, name)

    return router


def _jpeg(site: Site, frame_id: str) -> Response:
    if not site.reading.ask("SELECT 1 FROM frames WHERE frame_id = ?", [frame_id]):
        raise NotFound(f"there is no frame {frame_id}, or its footage was removed or replaced")
    rows = site.reading.rows(FRAMES, [frame_id], ["jpeg"])
    if not rows:
        raise NotFound(f"frame {frame_id} was replaced just now")
    # An id ends in what its frame was made from: another picture has another id.
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(rows[0]["jpeg"], media_type="image/jpeg", headers=headers)
