"""A vision-language model as a judge: one question about each clip, answered by a number.

How a question reaches the model belongs to `models.vision`; which scores pass, to verdicts.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.models import weights
from lakehouse.models.clip_view import ClipView
from lakehouse.models.scorers.protocol import Score, ScorerDescriptor
from lakehouse.models.vision import registry
from lakehouse.models.vision.clips import ClipAnswer, Inquiry, ask_about
from lakehouse.models.vision.guided import guided_text
from lakehouse.models.vision.instructions import read_instruction
from lakehouse.models.vision.protocol import VisionModel
from lakehouse.settings import OpenAIJudge, VllmJudge

_CODE_VERSION = 1  # raise it when scores change without a change of what `describe` hashes
_FRAME = "judge.md"


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    # In the order in which a model writes them: the number rests on what was said before.
    reason: str
    score: Annotated[float, Field(strict=True, allow_inf_nan=False)]


def describe(settings: OpenAIJudge | VllmJudge) -> ScorerDescriptor:
    """The descriptor; see `captioners.vision.describe` for what the version leaves out. Raises
    UserError for a bad question file."""
    identity = [
        registry.identity(settings),
        _instruction(settings),
        _schema(settings),
        settings.frames_per_request,
    ]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return ScorerDescriptor(
        model=weights.shown_name(settings.model),
        version=f"judge-{_CODE_VERSION}-{digest[:12]}",
        reads_frames=True,
    )


class Judge:
    """A `Scorer` with the one column `score`, on the scale of the settings.

    A clip of several windows scores their mean, each weighted by its frames. Raises UserError, when
    made, for a bad question file.
    """

    def __init__(self, settings: OpenAIJudge | VllmJudge, model: VisionModel) -> None:
        self._model = model
        self._inquiry = Inquiry(
            instruction=_instruction(settings),
            schema=_schema(settings),
            read=partial(_read, lowest=settings.lowest, highest=settings.highest),
            most_frames=settings.frames_per_request,
        )

    def score(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Score]]:
        """See `Scorer.score`. A clip without frames is an error that the model isn't asked
        about."""
        for answer in ask_about(self._model, clips, self._inquiry):
            yield answer.clip_id, _score(answer)


def _instruction(settings: OpenAIJudge | VllmJudge) -> str:
    question = settings.question or ""
    if settings.question_file is not None:
        question = read_instruction(settings.question_file, "question_file")
    frame = files(__package__).joinpath(_FRAME).read_text(encoding="utf-8")
    scale = {"{lowest}": f"{settings.lowest:.12g}", "{highest}": f"{settings.highest:.12g}"}
    for name, number in scale.items():
        frame = frame.replace(name, number)
    # Last, and not by `format`: a question may hold braces of its own.
    return frame.replace("{question}", question.strip())


def _schema(settings: OpenAIJudge | VllmJudge) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "reason": {"type": "string", **guided_text(1, 300)},
            "score": {
                "type": "number",
                "minimum": settings.lowest,
                "maximum": settings.highest,
            },
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }


def _read(content: str, lowest: float, highest: float) -> float:
    score = _Verdict.model_validate_json(content).score
    if not lowest <= score <= highest:
        raise ValueError(f"its score {score:g} is not between {lowest:g} and {highest:g}")
    return score


def _score(answer: ClipAnswer[float]) -> Score:
    values = {} if answer.error is not None else {"score": _mean(answer)}
    return Score(
        values=values,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        seconds=answer.seconds,
        error=answer.error,
        raw_answer=answer.raw_answer,
    )


def _mean(answer: ClipAnswer[float]) -> float:
    frames = sum(part.frame_count for part in answer.parts)
    weighted = zip(answer.parts, answer.values, strict=True)
    return sum(part.frame_count * value for part, value in weighted) / frames
