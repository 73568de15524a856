"""The application object, its entry point, and what happens to errors."""

import sys

import typer

from assets.command_line import (
    clip,
    demo,
    doctor,
    export,
    ingest,
    listen,
    maintain,
    plan,
    read,
    report,
    retry,
    sample,
    search,
    serve,
)
from assets.command_line.console import err
from lakehouse.errors import UserError

_USER_ERROR = 2

app = typer.Typer(
    name="lakehouse",
    help="From a bucket of robot-dog footage to a lake that you can query, search and watch.\n\n"
    "Settings come from lakehouse.toml (or the file that LAKEHOUSE_SETTINGS names) and from "
    "LAKEHOUSE_* variables: LAKEHOUSE_BUCKET, LAKEHOUSE_LAKE, LAKEHOUSE_KEY_PATTERN, ...",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    demo,
    sample,
    plan,
    ingest,
    retry,
    listen,
    read,
    search,
    report,
    clip,
    export,
    serve,
    maintain,
    doctor,
):
    module.register(app)


def main() -> None:
    """Run the command; a mistake of the user is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        one_line = " ".join(str(error).split())
        err.print(f"error: {one_line}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(_USER_ERROR)
