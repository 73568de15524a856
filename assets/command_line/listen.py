"""`lakehouse listen`: the address to which a bucket pushes what happens to its objects."""

import os
import signal
from typing import Annotated

import typer

from assets.command_line.console import err
from lakehouse.errors import UserError
from lakehouse.settings import load_settings
from lakehouse.storage.events.listener import Listener
from lakehouse.storage.events.spool import Spool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(listen)


def listen(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)] = 8722,
) -> None:
    """Accept S3 notifications by HTTP, for the events sensor, until it is interrupted.

    A bucket's topic has http://HOST:PORT/TOKEN as its push endpoint. The token is what the
    variable named by events.token_variable holds; other hosts than this one need one.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how services are stopped
    events = load_settings().events
    if events.spool is None:
        raise UserError("events.spool is not set; set LAKEHOUSE_EVENTS__SPOOL to a folder")
    token = os.environ.get(events.token_variable) or None
    with Listener(Spool(events.spool), host, port, token) as listener:
        err.print(
            f"listening on http://{host}:{listener.port}/{'TOKEN' if token else ''}, "
            f"laying events into {events.spool}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        try:
            listener.serve_forever()
        except KeyboardInterrupt:
            err.print("stopped", highlight=False)
