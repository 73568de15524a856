"""Clips as a captioner sees them, and the settings of one that asks a server, for tests."""

from typing import Any

import cv2
import numpy as np

from lakehouse.models.clip_view import ClipView, FrameView
from lakehouse.settings import OpenAICaptioner


def jpeg(width: int = 64, bgr: tuple[int, int, int] = (128, 128, 128)) -> bytes:
    picture = np.full((48, width, 3), bgr, np.uint8)
    return bytes(cv2.imencode(".jpg", picture)[1])


def clip(
    clip_id: str = "a", frames: tuple[bytes, ...] = (jpeg(),), of: dict[str, float] | None = None
) -> ClipView:
    views = tuple(FrameView(0.5 * index, frame) for index, frame in enumerate(frames))
    return ClipView(clip_id, "rex-front", 12.3, views, of or {})


def openai_settings(base_url: str = "http://127.0.0.1:1/v1", **changes: Any) -> OpenAICaptioner:
    return OpenAICaptioner.model_validate(
        {"backend": "openai", "base_url": base_url, "model": "qwen-vl", "max_retries": 2} | changes
    )
