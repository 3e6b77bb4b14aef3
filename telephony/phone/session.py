"""The session timer of one call of a phone (RFC 4028)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.session_timer import (
    SessionTimer,
    agree_to_request,
    agree_to_response,
    answer_fields,
    min_se,
    request_fields,
)
from telephony.b2bua.settings import SessionInterval
from telephony.errors import TelephonyError
from telephony.sip.message.messages import Request, Response

logger = structlog.get_logger(__name__)

_RETRY: Final = 2.0
"""The seconds between a failed refresh of the session and the next attempt."""


class SessionRefresher:
    """Refreshes the session of one call, or ends the call when the session expires."""

    def __init__(
        self,
        interval: SessionInterval,
        refresh: Callable[[], Awaitable[None]],
        on_expired: Callable[[], None],
    ) -> None:
        """Prepare a session timer that is not running yet.

        `refresh` sends one refresh. It is called again every two seconds until a refresh is
        accepted, also after a `TelephonyError`. `on_expired` ends the call if no refresh came
        before the session expired.
        """
        self._interval = interval
        self._send_refresh = refresh
        self._on_expired = on_expired
        self._least = 0
        """The largest Min-SE in the peer's 422 responses, in seconds; 0 before the first 422."""
        self.peer_accepts_update = False
        """True if the peer's latest Allow has UPDATE; False after a 405 or 501 to our UPDATE."""
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.timer: SessionTimer | None = None
        """The session timer that is in force; None before the two sides have agreed on one."""

    def request_headers(self) -> HeaderFields:
        """Return the header fields of the session timer for our INVITE or UPDATE."""
        return request_fields(self.timer, self._interval, self._least)

    def on_2xx(self, response: Response) -> None:
        """Start the session timer agreed by a 2xx to our INVITE or UPDATE."""
        self._learn(response)
        now = asyncio.get_running_loop().time()
        self._start(agree_to_response(response, self._interval, self._least, now))

    def on_422(self, response: Response) -> None:
        """Store the Min-SE of a 422. Later `request_headers` ask for at least this interval."""
        self._least = max(self._least, min_se(response))

    def validate(self, request: Request) -> None:
        """Raise IntervalTooSmallError if the response to `request` must be a 422."""
        agree_to_request(request, self._interval, 0.0)

    def answer(self, request: Request) -> HeaderFields:
        """Start the timer that a request asks for; return the header fields for our 2xx.

        Raises `IntervalTooSmallError` if the response must be a 422 with `rejection_headers`.
        """
        now = asyncio.get_running_loop().time()
        timer = agree_to_request(request, self._interval, now)
        self._learn(request)
        self._start(timer)
        return answer_fields(timer)

    @property
    def rejection_headers(self) -> HeaderFields:
        """The header fields (Min-SE) for our 422 response to an interval that is too short."""
        return (("Min-SE", str(self._interval.least)),)

    def stop(self) -> None:
        """Stop the timer permanently, because the call has ended."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _learn(self, message: Request | Response) -> None:
        allow = ",".join(message.headers.get_all("Allow"))
        if allow:
            self.peer_accepts_update = "UPDATE" in {each.strip() for each in allow.split(",")}

    def _start(self, timer: SessionTimer) -> None:
        self.timer = timer
        self._wake(
            min(timer.refresh_at if timer.we_refresh else timer.expires_at, timer.expires_at)
        )

    def _wake(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        if not self._stopped:
            self._handle = asyncio.get_running_loop().call_at(at, self._due)

    def _due(self) -> None:
        timer, now = self.timer, asyncio.get_running_loop().time()
        if timer is None or now >= timer.expires_at:
            logger.info("phone.session_expired")
            self._on_expired()
        else:
            self._wake(timer.expires_at)
            self._task = asyncio.create_task(self._refresh(timer))

    async def _refresh(self, timer: SessionTimer) -> None:
        """Send a refresh every two seconds until an accepted one replaces `self.timer`."""
        while self.timer is timer:
            with contextlib.suppress(TelephonyError):
                await self._send_refresh()
            await asyncio.sleep(_RETRY)
