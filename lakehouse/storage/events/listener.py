"""A small HTTP server to which a bucket pushes its notifications; it lays them into the spool.

Reads only as much as it needs to refuse what is no notification. Heeding them is for who takes
them from the spool.
"""

import logging
import re
import socket
import sys
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from socketserver import ThreadingTCPServer
from typing import Any

from lakehouse.errors import UserError
from lakehouse.storage.events.notification import NotANotificationError, events_of
from lakehouse.storage.events.spool import Spool

_MOST_BYTES = 2**20
_MOST_DIGITS = 7
_PATIENCE_S = 10.0
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}")

_log = logging.getLogger(__name__)


class Listener(ThreadingTCPServer):
    """Answers `POST /TOKEN`, or `POST /` without a token, once the notification is safe on disk.

    The token stands in the address because gateways send no headers of ours. Without one only
    this machine is listened to. Raises UserError for a token or an address that won't do.
    Port 0 takes any free one, see `port`.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, spool: Spool, host: str, port: int, token: str | None) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise UserError("the token must be 16 or more of A-Z, a-z, 0-9, '.', '_', '~' and '-'")
        self.spool = spool
        self.path = f"/{token or ''}"
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            if token is None and not ip_address(str(address[0])).is_loopback:
                raise UserError(f"{host} can be reached from other machines; set a token for it")
            self.address_family = family
            super().__init__((str(address[0]), int(address[1])), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"can't listen on {host} port {port}: {reason}; name another") from None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no reason for a traceback."""
        del request
        _log.warning("%s: %r", client_address[0], sys.exception())


class _RefusedError(Exception):
    """A request that is not taken, with the status that it is answered."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection; several requests may come over it."""

    server: Listener
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S

    def do_POST(self) -> None:
        """Answers 200 once the notification is on disk."""
        try:
            self._take()
        except _RefusedError as refused:
            # The reason is for our log: who asks may be anybody.
            _log.warning("%s refused (%d): %s", self.client_address[0], refused.status, refused)
            self.close_connection = True
            self._answer(refused.status)
        else:
            self._answer(HTTPStatus.OK)

    def _take(self) -> None:
        if not compare_digest(self.path.encode(), self.server.path.encode()):
            raise _RefusedError(HTTPStatus.NOT_FOUND, "the address lacks the token, or has another")
        body = self._body()
        try:
            if events_of(body):
                self.server.spool.add(body)
        except NotANotificationError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"no notification: {error}") from None
        except UserError as error:
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None

    def _body(self) -> bytes:
        announced = self.headers.get("Content-Length", "")
        if not announced.isascii() or not announced.isdigit():
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "no Content-Length")
        if len(announced) > _MOST_DIGITS or int(announced) > _MOST_BYTES:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_MOST_BYTES} bytes"
            )
        body = self.rfile.read(int(announced))
        if len(body) < int(announced):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "the body is cut off")
        return body

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the request's address holds the token."""
        del format, args
