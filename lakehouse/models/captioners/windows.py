"""One caption out of those of a clip's windows. How a clip is cut into windows, `vision` knows."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from lakehouse.models.captioners.protocol import Caption
from lakehouse.models.vision.clips import ClipAnswer

_T = TypeVar("_T")


def caption_of(answer: ClipAnswer[Caption]) -> Caption:
    """A clip's caption. Of several windows, the texts follow each other, each behind its time; what
    several of them say is said once. An error of one window is the whole caption's, which then
    says nothing of the others."""
    said = Caption() if answer.error is not None else _united(answer)
    return replace(
        said,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        seconds=answer.seconds,
        error=answer.error,
        raw_answer=answer.raw_answer,
    )


def _united(answer: ClipAnswer[Caption]) -> Caption:
    captions = answer.values
    if len(captions) == 1:
        return captions[0]
    texts = (
        f"{part.span}: {caption.text}" for part, caption in zip(answer.parts, captions, strict=True)
    )
    return Caption(
        text="\n".join(texts),
        environment=_joined(caption.environment for caption in captions),
        objects=_distinct(seen for caption in captions for seen in caption.objects),
        signs=_distinct(sign for caption in captions for sign in caption.signs),
        light=_joined(caption.light for caption in captions),
        floor=_joined(caption.floor for caption in captions),
        space=_joined(caption.space for caption in captions),
        dynamics=_distinct(change for caption in captions for change in caption.dynamics),
        risks=_distinct(risk for caption in captions for risk in caption.risks),
    )


def _joined(phrases: Iterable[str | None]) -> str | None:
    return "; ".join(_distinct(phrase for phrase in phrases if phrase)) or None


def _distinct(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
