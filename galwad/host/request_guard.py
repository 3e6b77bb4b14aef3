"""The outermost ASGI layer: it checks origin, address and length, and adds security headers.

If the application raises an exception before it has begun a response, this layer sends a
response with the status 500. The exception's text may contain a caller's phone number, so the log
entry does not contain that text. The exception is not raised again, because the HTTP server would
log a traceback with that text.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_plus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callerid.card_number import has_card_number
from galwad.host import embedding
from galwad.host.errors import STANDARD, answer, card_number_answer
from galwad.periods import HEADER

log = structlog.get_logger()

MAX_BODY = 256 * 1024
MAX_ADDRESS = 2048
"""The most characters of a path and its query string. Both are searched for card numbers."""
MAX_OPAQUE_ADDRESS = 8192
"""The most characters of the path `opaque_path` and its query string.

This address is not searched for card numbers: a random code in it can look like a card number.
"""
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors "
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}


class RequestGuard:
    """ASGI middleware that checks each request and adds security headers to each response.

    `origin` is the value that a browser's `Origin` header must have in a request that may change
    something. If `origin` is None, the header must match the request's `Host` header. `cookie` is
    the name of the session cookie. `secure` is true if browsers use TLS; the responses then have
    the header Strict-Transport-Security. `opaque_path` is the path to which an OpenID provider
    sends people back with its codes.

    Pages of the origins in `open_origins` may also use `open_path`, and no other path (the CORS
    protocol, https://fetch.spec.whatwg.org/#http-cors-protocol). The endpoints at `open_path` must
    accept only a token in the header field `Authorization`, and no cookie.

    Only pages of the origins in `embed_origins` may show the page `embedding.PATH` in a frame.

    Each response names the centre's time zone, unless `time_zone` is "".
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cookie: str,
        origin: str | None,
        secure: bool,
        opaque_path: str = "",
        open_path: str = "",
        open_origins: Collection[str] = (),
        embed_origins: Collection[str] = (),
        time_zone: str = "",
    ) -> None:
        self._app = app
        self._opaque_path = opaque_path
        self._open_path = open_path
        self._open_origins = open_origins
        self._embed_origins = " ".join(embed_origins)
        self._cookies = {cookie, embedding.COOKIE}
        self._origin = origin
        self._secure = secure
        self._headers = _HEADERS | ({HEADER: time_zone} if time_zone else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, call the application if it passes, and add security headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        guest = self._guest(scope)

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                self._add_headers(scope["path"], headers)
                if guest:
                    headers["Access-Control-Allow-Origin"] = guest
                    headers.add_vary_header("Origin")
            await send(message)

        if _has_two_lengths(scope):
            closing = answer(400, "the request has two lengths", "send only Content-Length")
            closing.headers["Connection"] = "close"
            await closing(scope, receive, send_with_headers)
            return
        if guest and scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, send_with_headers)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request.failed", method=scope["method"])
            # After a response has started, its status can no longer be changed to 500.
            if not started:
                failure = answer(500, *STANDARD[500])
                await failure(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        # Tell the client about a card number, because a proxy or a browser may store the address.
        query = unquote_plus(scope["query_string"].decode("latin-1"))
        opaque = scope["path"] == self._opaque_path
        if len(scope["path"]) + len(query) > (MAX_OPAQUE_ADDRESS if opaque else MAX_ADDRESS):
            return answer(
                414, "the address is too long", "send long texts in the body of the request"
            )
        if not opaque and (has_card_number(scope["path"]) or has_card_number(query)):
            return card_number_answer(["the address"])
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > MAX_BODY:
            return answer(413, *STANDARD[413])
        if not self._same_origin(scope):
            return answer(403, "the request comes from another site", "use the desk's own page")
        return None

    def _guest(self, scope: Scope) -> str:
        """Return the request's origin if it is another site that may use this path; else ""."""
        origin = Headers(scope=scope).get("origin", "")
        return origin if scope["path"] == self._open_path and origin in self._open_origins else ""

    def _same_origin(self, scope: Scope) -> bool:
        """Return whether the request is harmless or comes from our own page.

        GET, HEAD and OPTIONS change nothing. A request of a payment page needs a token. A request
        with neither `Origin` nor session cookie is harmless too. All other requests must have our
        `Origin`. If `Origin` is missing, they must have `Sec-Fetch-Site: same-origin`.
        """
        if scope["method"] in embedding.SAFE_METHODS:
            return True
        if self._guest(scope):
            return True
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            has_session = not self._cookies.isdisjoint(cookie_parser(headers.get("cookie", "")))
            return not has_session or headers.get("sec-fetch-site") == "same-origin"
        return origin == (self._origin or f"{scope['scheme']}://{headers.get('host', '')}")

    def _add_headers(self, path: str, headers: MutableHeaders) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        if self._embed_origins and path == embedding.PATH:
            headers.setdefault("Content-Security-Policy", _POLICY + self._embed_origins)
        else:
            headers.setdefault("Content-Security-Policy", _POLICY + "'none'")
            headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Cache-Control", "no-store" if path.startswith("/api/") else "no-cache")
        if self._secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")


def _has_two_lengths(scope: Scope) -> bool:
    """Return whether a request has both Content-Length and Transfer-Encoding (RFC 9112 6.3).

    If a proxy uses one of them and we use the other, a part of the body is read as a new request.
    """
    headers = Headers(scope=scope)
    return "content-length" in headers and "transfer-encoding" in headers
