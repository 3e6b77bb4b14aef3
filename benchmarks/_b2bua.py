"""Only the B2BUA of `telephony`: every call rings the same callee, without media or recording.

    python benchmarks/_b2bua.py PORT CALLEE_PORT

calls.py measures it beside the whole switch.
"""

import asyncio
import sys
import time

import uvloop
from _common import CALLEE, SWITCH

from telephony.aio.transport import SipTransport
from telephony.b2bua import BackToBackCall, CallSettings, Target, find_call
from telephony.b2bua.events import CallEnded
from telephony.sdp import LocalMedia, RemoteMedia
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite, SipEvent
from telephony.sip.message.uri import Uri


class NoMedia:
    """A media plane that moves no media: every leg gets the same port."""

    def open(self, _leg_id: str, *, ipv6: bool, urgent: bool) -> LocalMedia:  # noqa: ARG002 - has one port
        """Return a port that is not bound."""
        return LocalMedia(SWITCH, 20_000)

    def reopen(self, _leg_id: str, local: LocalMedia) -> LocalMedia:
        """Return the same port again."""
        return local

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Do nothing."""

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Do nothing."""

    def separate(self, leg_id: str) -> None:
        """Do nothing."""

    def is_own_port(self, host: str, port: int) -> bool:
        """Return False: it has no ports of its own."""
        del host, port
        return False

    def close(self, leg_id: str) -> None:
        """Do nothing."""


class Bare:
    """Rings the callee for every call, and keeps no record of it."""

    def __init__(self, callee: int) -> None:
        self._target = Target(Uri.parse(f"sip:600@{CALLEE}:{callee}"), Address(CALLEE, callee))
        self._media, self._settings = NoMedia(), CallSettings()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._count = 0
        self.transport = SipTransport(Endpoint(), self._take)

    def _take(self, event: SipEvent) -> None:
        now = time.monotonic()
        if isinstance(event, IncomingInvite):
            self._count += 1
            call = BackToBackCall.incoming(
                self.transport.endpoint,
                self._media,
                event.invite,
                self._settings,
                call_id=str(self._count),
                now=now,
            )
            call.dial([self._target], now)
        else:
            known = find_call(event)
            if known is None:
                return
            known.handle(event, now)
            if not isinstance(known, BackToBackCall):
                self.transport.flush()
                return
            call = known
        self._settle(call)

    def _settle(self, call: BackToBackCall) -> None:
        ended = False
        while (event := call.next_event()) is not None:
            ended = ended or isinstance(event, CallEnded)
        timer = self._timers.pop(call.call_id, None)
        if timer is not None:
            timer.cancel()
        due = call.next_timer()
        if due is not None and not ended:
            delay = max(0.0, due - time.monotonic())
            loop = asyncio.get_running_loop()
            self._timers[call.call_id] = loop.call_later(delay, self._on_timer, call)
        self.transport.flush()

    def _on_timer(self, call: BackToBackCall) -> None:
        call.handle_timer(time.monotonic())
        self._settle(call)


async def serve(port: int, callee: int) -> None:
    """Serve until killed."""
    bare = Bare(callee)
    await bare.transport.listen(Address(SWITCH, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:])))
