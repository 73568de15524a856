"""Who may ask, and what browsers may do with the answers.

With a token every request but /healthz carries it: in a header, in a cookie, or once in the
address, which sets the cookie. Without one only this machine is served, and only under its own
names, so that no page of elsewhere can be pointed here. What changes something is done for pages of
this server and for programs, never for a page of elsewhere that a browser shows.
"""

import hashlib
from collections.abc import Iterable
from hmac import compare_digest
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lakehouse.web.answers import problem

_COOKIE = "kennel_session"
_OPEN = "/healthz"
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, forms of our own would hide their origin, too
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Access:
    """Lets requests through to `app` that carry the token, or come by a name of this machine."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._session = hashlib.sha256(b"kennel session " + (self._token or b"")).hexdigest()
        self._hosts = _HOSTS.union(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        headers = Headers(scope=scope)
        if self._token is None:
            answer = None if self._is_ours(headers) else self._wrong_host(scope)
        elif scope["path"] == _OPEN or self._is_known(headers):
            answer = None
        else:
            answer = self._introduced(scope) or self._unknown(scope)
        if answer is None and scope["method"] not in _HARMLESS and _is_from_elsewhere(headers):
            answer = problem(
                scope,
                HTTPStatus.FORBIDDEN,
                "a page of another site asked for this; ask for it here",
            )
        await (answer or self._app)(scope, receive, guarded)

    def _is_ours(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        name, colon, port = host.rpartition(":")
        return (name if colon and port.isdigit() else host).lower() in self._hosts

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and compare_digest(cookie.value.encode(), self._session.encode())

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return compare_digest(given.encode("utf-8", "surrogateescape"), self._token)

    def _introduced(self, scope: Scope) -> ASGIApp | None:
        """The way back to the same page without the token in its address, where that is right."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if not any(name == "token" and self._is_token(value) for name, value in query):
            return None
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        # One slash: two would name another host.
        path = "/" + quote(scope["path"].lstrip("/\\"))
        response = problem(scope, HTTPStatus.SEE_OTHER, "the token is kept in a cookie")
        response.headers["Location"] = f"{path}?{rest}" if rest else path
        response.set_cookie(
            _COOKIE,
            self._session,
            httponly=True,
            samesite="lax",  # a strict one isn't sent where a link from elsewhere led here
            secure=scope.get("scheme") == "https",
        )
        return response

    def _unknown(self, scope: Scope) -> ASGIApp:
        response = problem(
            scope,
            HTTPStatus.UNAUTHORIZED,
            "this needs the token: open the address with ?token=TOKEN once, or send it as "
            "Authorization: Bearer TOKEN",
        )
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _wrong_host(self, scope: Scope) -> ASGIApp:
        return problem(
            scope,
            HTTPStatus.MISDIRECTED_REQUEST,
            "without a token only this machine is served, under the name localhost",
        )


def _is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser asks on behalf of another site's page. Browsers say so in one header or
    both, which no page can forge; programs send neither."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site != "same-origin"
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
