"""Which Dagster instance a command uses, and how to open the UI on it."""

import os
import sys
from pathlib import Path
from shlex import quote

from lakehouse.errors import UserError
from lakehouse.settings import SETTINGS_VARIABLE, settings_file

_VARIABLE = "DAGSTER_HOME"
_CHECKOUT = Path(__file__).resolve().parents[2]


def dagster_home() -> Path:
    """`DAGSTER_HOME`, or the `dagster_home` folder here or of this checkout.

    Sets the variable for Dagster, which wants it absolute. Raises UserError if there is none.
    """
    named = os.environ.get(_VARIABLE)
    if named and not Path(named).is_dir():
        raise UserError(f"{_VARIABLE} names {named}, which is no folder; create or unset it")
    candidates = [Path(named)] if named else [Path("dagster_home"), _CHECKOUT / "dagster_home"]
    for candidate in candidates:
        if named or (candidate / "dagster.yaml").is_file():
            os.environ[_VARIABLE] = str(candidate.absolute())
            return candidate.absolute()
    raise UserError(f"no Dagster instance: set {_VARIABLE} to a folder with a dagster.yaml")


def dagster_configuration() -> Path:
    """The checkout's `dagster.yaml`, for instances made elsewhere."""
    return _CHECKOUT / "dagster_home" / "dagster.yaml"


def ui_command(home: Path) -> str:
    """The command line that opens the UI on this instance and today's settings."""
    file = settings_file()
    variables = {_VARIABLE: home} | ({SETTINGS_VARIABLE: file.absolute()} if file else {})
    assigned = " ".join(f"{name}={quote(str(value))}" for name, value in variables.items())
    return f"cd {quote(str(_CHECKOUT))} && {assigned} {program('dagster')} dev"


def program(name: str) -> str:
    """A program of this environment, as a shell takes it, whether or not it is activated."""
    return quote(str(Path(sys.executable).with_name(name)))
