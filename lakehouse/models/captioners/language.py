"""Whether a text is in the language that was asked for, by its script alone.

It tells Chinese from English, which is all that prompts exist for, and is in no hurry to object:
signs and labels are copied in the language that they are in.
"""

import re
from typing import Literal

Language = Literal["en", "zh"]

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_EAST_ASIAN = re.compile(f"{_HAN.pattern}|[\u3041-\u30ff\u31f0-\u31ff\uac00-\ud7a3]")
_MIN_HAN_IN_CHINESE = 0.2  # of the letters
_MAX_EAST_ASIAN_IN_ENGLISH = 0.5


def check_language(text: str, language: Language) -> None:
    """Raises ValueError where most of a text's letters can't be those of the language; digits and
    punctuation alone are in any."""
    letters = [character for character in text if character.isalpha()]
    if not letters:
        return
    if language == "zh" and _share(_HAN, letters) < _MIN_HAN_IN_CHINESE:
        raise ValueError("its text is not in Chinese")
    if language == "en" and _share(_EAST_ASIAN, letters) > _MAX_EAST_ASIAN_IN_ENGLISH:
        raise ValueError("its text is not in English")


def _share(script: re.Pattern[str], letters: list[str]) -> float:
    return sum(script.match(letter) is not None for letter in letters) / len(letters)
