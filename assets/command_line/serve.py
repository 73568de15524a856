"""`lakehouse serve`: the clip browser."""

import os
import signal
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated

import typer

from assets.command_line.console import err
from lakehouse.errors import UserError
from lakehouse.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = (
        8765
    ),
) -> None:
    """Find and watch clips in a browser, until it is interrupted.

    Other hosts than this one need a token: what the variable named by web.token_variable holds.
    Open the address with ?token=TOKEN once; programs send Authorization: Bearer TOKEN.
    """
    # The server is slow to import, and no other command needs it.
    import uvicorn  # noqa: PLC0415

    from lakehouse.web.app import create_app  # noqa: PLC0415

    settings = load_settings()
    variable = settings.web.token_variable
    token = os.environ.get(variable) or None
    with _listening(host, port, token is None, variable) as listening:
        app = create_app(settings, token)
        shown_host = f"[{host}]" if ":" in host else host
        err.print(
            f"serving {settings.lake} on http://{shown_host}:{listening.getsockname()[1]}/"
            f"{'?token=TOKEN' if token else ''}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        # Its log would hold addresses, and so the token.
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it is raised again at the end
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    err.print("stopped", highlight=False)


def _listening(host: str, port: int, only_here: bool, variable: str) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if only_here and not ip_address(str(address[0])).is_loopback:
            raise UserError(
                f"{host} can be reached from other machines; set {variable} to a token for it"
            )
        return socket.create_server((str(address[0]), int(address[1])), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"can't serve on {host} port {port}: {reason}; name another") from None
