"""From settings to a model that can be asked, and to what identifies it."""

import os
from typing import Any

from lakehouse.models import weights
from lakehouse.models.vision.protocol import VisionModel
from lakehouse.settings import VisionServer, VisionSettings


def identity(settings: VisionSettings) -> list[Any]:
    """What decides a model's answer to a question. Where it runs, how much of it at once and how
    long it may take do not."""
    asked = [settings.model, settings.max_tokens, settings.temperature, settings.frames_per_request]
    if isinstance(settings, VisionServer):
        return asked
    of_engine = [weights.identity(settings.model, settings.revision), settings.quantization]
    return [*of_engine, settings.engine, *asked[1:]]


def load(settings: VisionSettings) -> VisionModel:
    """The model, ready to be asked; an engine is loaded once in a process. An API key is taken from
    the environment variable that the settings name. Raises UserError for what can't work.
    """
    if isinstance(settings, VisionServer):
        from lakehouse.models.vision.openai import ChatModel  # noqa: PLC0415

        return ChatModel(settings, os.environ.get(settings.api_key_variable))
    from lakehouse.models.vision.vllm import engine_of  # noqa: PLC0415, vllm is slow to import

    return engine_of(settings)
