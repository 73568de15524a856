"""Files in which a person wrote what a model is asked. What stands in them, their readers know."""

from pathlib import Path

from lakehouse.errors import UserError


def read_instruction(file: Path, setting: str) -> str:
    """The text of the file that this setting names.

    Raises UserError, which names both, for a file that is missing, not UTF-8 text, or empty.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{setting} {file} can't be read ({error.strerror}); correct or remove it"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{setting} {file} is not UTF-8 text; save it as such") from error
    if not text.strip():
        raise UserError(f"{setting} {file} is empty; write into it or remove the setting")
    return text
