"""A question as the messages of a chat, which every backend takes in the same form."""

import base64
from typing import Any

from lakehouse.models.vision.protocol import Question


def messages(question: Question[Any]) -> list[dict[str, Any]]:
    """OpenAI's chat messages: the instruction first, so that a prefix cache computes it once, then
    each frame behind its time."""
    content: list[dict[str, Any]] = [{"type": "text", "text": question.instruction}]
    for frame in question.frames:
        url = "data:image/jpeg;base64," + base64.b64encode(frame.jpeg).decode()
        content.append({"type": "text", "text": f"{frame.time_s:.1f} s:"})
        content.append({"type": "image_url", "image_url": {"url": url}})
    return [{"role": "user", "content": content}]
