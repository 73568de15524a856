"""Captions by a vision-language model, whichever way it is reached.

What is asked and how an answer is read belongs to `inspection`; long clips to `windows`; how a
question reaches the model to `models.vision`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial

from lakehouse.models import weights
from lakehouse.models.captioners.inspection import ANSWER_SCHEMA, load_prompt, read_answer
from lakehouse.models.captioners.protocol import Caption, CaptionerDescriptor
from lakehouse.models.captioners.windows import caption_of
from lakehouse.models.clip_view import ClipView
from lakehouse.models.vision import registry
from lakehouse.models.vision.clips import Inquiry, ask_about
from lakehouse.models.vision.protocol import VisionModel
from lakehouse.settings import OpenAICaptioner, VllmCaptioner

_CODE_VERSION = 1  # raise it when captions change without a change of what `describe` hashes


def describe(settings: OpenAICaptioner | VllmCaptioner) -> CaptionerDescriptor:
    """The descriptor. Where the model runs, how long it may take and how much runs at once don't
    change a caption, so they are not part of the version. Raises UserError for a bad prompt file.
    """
    prompt = load_prompt(settings.language, settings.prompt_file)
    identity = [
        registry.identity(settings),
        settings.language,
        prompt.text,
        ANSWER_SCHEMA,
        settings.frames_per_request,
    ]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return CaptionerDescriptor(
        language=settings.language,
        model=weights.shown_name(settings.model),
        version=f"inspection-{_CODE_VERSION}-{digest[:12]}",
        prompt_version=prompt.version,
        uses_scores=False,
    )


class VisionCaptions:
    """A `Captioner` that asks a model for an inspection of each clip.

    Raises UserError, when made, for a bad prompt file.
    """

    def __init__(self, settings: OpenAICaptioner | VllmCaptioner, model: VisionModel) -> None:
        self._model = model
        self._inquiry = Inquiry(
            instruction=load_prompt(settings.language, settings.prompt_file).text,
            schema=ANSWER_SCHEMA,
            read=partial(read_answer, language=settings.language),
            most_frames=settings.frames_per_request,
        )

    def caption(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Caption]]:
        """See `Captioner.caption`. A clip without frames is an error that the model isn't asked
        about."""
        for answer in ask_about(self._model, clips, self._inquiry):
            yield answer.clip_id, caption_of(answer)
