"""What an inspection asks of a vision-language model: its prompt, its answer's schema, its reading.

How the question reaches a model is its backend's matter.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lakehouse.models.captioners.language import Language, check_language
from lakehouse.models.captioners.protocol import Caption, SeenObject
from lakehouse.models.vision.guided import guided_text
from lakehouse.models.vision.instructions import read_instruction

_LIST_LIMIT = {"maxItems": 12}
_Trimmed = StringConstraints(strip_whitespace=True)
_Phrase = Annotated[str, _Trimmed, Field(json_schema_extra=guided_text(0, 200))]
_Phrases = Annotated[list[_Phrase], Field(json_schema_extra=_LIST_LIMIT)]
_Paragraph = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    Field(json_schema_extra=guided_text(1, 1200)),
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Object(_Answer):
    name: _Phrase
    position: _Phrase
    state: _Phrase


class _Conditions(_Answer):
    light: _Phrase
    floor: _Phrase
    space: _Phrase


class _Inspection(_Answer):
    # In the order in which a model writes them: the summary rests on what was listed before.
    environment: _Phrase
    objects: Annotated[list[_Object], Field(json_schema_extra=_LIST_LIMIT)]
    signs: _Phrases
    conditions: _Conditions
    dynamics: _Phrases
    risks: _Phrases
    text: _Paragraph


ANSWER_SCHEMA: dict[str, Any] = _Inspection.model_json_schema()
"""JSON schema of the answer: every field required, nothing else allowed."""


@dataclass(frozen=True)
class Prompt:
    """The text of a prompt; `version` is the first twelve hex digits of its SHA-256."""

    text: str
    version: str


def load_prompt(language: Language, prompt_file: Path | None = None) -> Prompt:
    """The prompt in `prompt_file`, or the built-in one of the language.

    A prompt has to name the fields of `ANSWER_SCHEMA`, since a server shows the model no schema.
    Raises UserError for a file that is missing, not UTF-8 text, or empty.
    """
    if prompt_file is None:
        source = files(__package__).joinpath("prompts", f"inspection.{language}.md")
        text = source.read_text(encoding="utf-8")
    else:
        text = read_instruction(prompt_file, "prompt_file")
    return Prompt(text, hashlib.sha256(text.encode()).hexdigest()[:12])


def read_answer(content: str, language: Language) -> Caption:
    """The fields of a model's answer; what it left empty is None or left out.

    Raises ValueError (pydantic's ValidationError) where the answer is no JSON or doesn't fit
    `ANSWER_SCHEMA`, and where its text is in another language.
    """
    answer = _Inspection.model_validate_json(content)
    check_language(answer.text, language)
    return Caption(
        text=answer.text,
        environment=answer.environment or None,
        objects=tuple(
            SeenObject(seen.name, seen.position or None, seen.state or None)
            for seen in answer.objects
            if seen.name
        ),
        signs=_filled(answer.signs),
        light=answer.conditions.light or None,
        floor=answer.conditions.floor or None,
        space=answer.conditions.space or None,
        dynamics=_filled(answer.dynamics),
        risks=_filled(answer.risks),
    )


def _filled(phrases: list[str]) -> tuple[str, ...]:
    return tuple(phrase for phrase in phrases if phrase)
