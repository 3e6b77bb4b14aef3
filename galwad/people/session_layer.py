"""The ASGI layer that finds the session of each API request before the request's body is read.

A valid session gives the connection a place for signed-in people. Without a session, only a small
body is read, so that strangers cannot fill the memory. Users take turns to begin a request, and all
strangers together have one turn. Otherwise, a request to pause could wait for a thousand requests
that arrived just before it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from galwad.host import embedding
from galwad.host.connections.places import Place, Places
from galwad.host.connections.protocol import PLACE
from galwad.host.errors import SESSION, answer
from galwad.people.sessions import Session, Sessions
from net.addresses import network_of

AT_ONCE: Final = 4
"""The most requests that begin in one round of the event loop."""
_API: Final = "/api/"
MAX_STRANGERS_BODY: Final = 16 * 1024
"""The longest body in bytes of a request without a session, such as a sign-in."""


class Pacer:
    """Lets clients (see `_client`) begin their requests in turn, `AT_ONCE` in each round."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """The requests that wait, by client. The first client has the next turn."""

    async def turn(self, client: str) -> None:
        """Wait until the next request of this client may begin."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._round)
        self._waiting.setdefault(client, deque()).append(turn)
        await turn

    def _round(self) -> None:
        for client in list(self._waiting)[:AT_ONCE]:
            requests = self._waiting[client]
            while requests and requests[0].done():  # the client has left
                requests.popleft()
            if requests:
                requests.popleft().set_result(None)
            if requests:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._round)


class SessionLayer:
    """ASGI middleware that stores the session in the scope, and gives the connection its place."""

    def __init__(self, app: ASGIApp, sessions: Sessions, places: Places, *, cookie: str) -> None:
        self._app = app
        self._sessions = sessions
        self._places = places
        self._cookie = cookie
        self._pacer = Pacer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the session, move the connection, and call the application or refuse the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        session: Session | None = None
        if scope["path"].startswith(_API):
            scope[SESSION] = session = await self._session(scope, headers)
            self._move(scope, session)
            if session is not None and _is_forged(scope["method"], session, headers):
                refusal = answer(403, "the request may come from another site", "reload the page")
                await refusal(scope, receive, send)
                return
            if session is None and not _is_small(headers):
                refusal = answer(
                    413,
                    "the request is too large",
                    "sign in, or send at most 16 kB, with Content-Length",
                )
                await refusal(scope, receive, send)
                return
        place: Place | None = scope.get(PLACE)
        if place is not None:
            await self._pacer.turn(_client(session, place))
        await self._app(scope, receive, send)

    async def _session(self, scope: Scope, headers: Headers) -> Session | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        tokens = [token.strip()]
        if scheme.lower() != "bearer":
            cookies = cookie_parser(headers.get("cookie", ""))
            tokens = [cookies.get(self._cookie, ""), cookies.get(embedding.COOKIE, "")]
        client = scope.get("client")
        address = client[0] if client else ""
        for each in filter(None, tokens):
            session = await self._sessions.find(each, address)
            if session is not None:
                return session
        return None

    def _move(self, scope: Scope, session: Session | None) -> None:
        place: Place | None = scope.get(PLACE)
        if place is None:
            return
        network = _network(scope)
        if session is not None:
            self._places.sign_in(place, session.key, network, time.monotonic())
        else:
            self._places.sign_out(place, network, time.monotonic())


def vouch_for(places: Places, scope: Scope, token: str) -> None:
    """Give a connection a signed-in place, because it has sent a known token of a payment page."""
    place: Place | None = scope.get(PLACE)
    if place is not None:
        key = hashlib.sha256(token.encode()).hexdigest()
        places.sign_in(place, key, _network(scope), time.monotonic())


def _is_forged(method: str, session: Session, headers: Headers) -> bool:
    """Return whether a request that changes something lacks the token of its embedded page."""
    sent = headers.get(embedding.CSRF_HEADER, "")
    return method not in embedding.SAFE_METHODS and not embedding.has_csrf_token(session, sent)


def _client(session: Session | None, place: Place) -> str:
    """Return the client whose turn a request needs: its user, or "" for all strangers.

    Without `session`, the session of the connection's place is the client.
    """
    return session.actor if session is not None else place.session or ""


def _network(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(client[0] if client else "")


def _is_small(headers: Headers) -> bool:
    if "transfer-encoding" in headers:
        return False
    length = headers.get("content-length", "0")
    return length.isdecimal() and int(length) <= MAX_STRANGERS_BODY
