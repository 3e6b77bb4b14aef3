"""A scripted switch on the real socket: a test sets each state of a call."""

from __future__ import annotations

import asyncio
import threading
import time

import msgspec

from galwad.link import serve
from galwad.messages import (
    Alarm,
    CallChanged,
    CallEnded,
    CallerFacts,
    CallsSnapshot,
    CallStatus,
    Hello,
    Party,
    Pause,
    PauseReply,
    Resume,
)
from helpers.peers.waiting import PATIENCE_S

CALL = "20261125-101500-aaaaaaaa"
SIAN = Party("201", "sian")


class ScriptedSwitch:
    """Reports calls to the desk, and carries out each requested pause or resume at once."""

    def __init__(self, path):
        self.calls = {}
        self._links = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._do(serve(path, self._on_message))

    def ring(self, number, call_id=CALL, at=SIAN, line="Council Tax"):
        """Let a call from this number ring; an empty number is withheld."""
        facts = CallerFacts(number or "anonymous", "example.org", privacy=() if number else ("id",))
        state = CallStatus(
            call_id=call_id,
            version=1,
            started=time.time(),
            since=time.time(),
            line=line,
            called="",
            caller=facts,
            state="ringing",
            ringing=(at,),
        )
        self._do(self._set(state))

    def answer(self, call_id=CALL, at=SIAN, **more):
        """Let this phone answer."""
        state = {"state": "answered", "ringing": (), "advisor": at, "recording": "recording"}
        self.change(call_id, recording_since=time.time(), **state, **more)

    def change(self, call_id=CALL, **fields):
        """Report any other change of a call."""
        before = self.calls[call_id]
        self._do(self._set(msgspec.structs.replace(before, version=before.version + 1, **fields)))

    def hang_up(self, call_id=CALL):
        """End the call."""
        call = self.calls.pop(call_id)
        self._do(self._tell(CallEnded(call_id, time.time(), call.advisor is not None)))

    def alarm(self, kind, call_id=CALL):
        """Raise an alarm."""
        self._do(self._tell(Alarm(kind, call_id)))

    def go(self):
        """Close the link to the desk, as a switch that crashes."""
        self._server.close()
        for link in self._links:
            self._do(link.close())
        self._links.clear()

    def end(self):
        """Close everything."""
        self.go()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _set(self, state):
        self.calls[state.call_id] = state
        await self._tell(CallChanged(state))

    async def _tell(self, message):
        for link in self._links:
            link.send(message)

    async def _on_message(self, link, message):
        if isinstance(message, Hello):
            self._links.append(link)
            link.send(CallsSnapshot(tuple(self.calls.values())))
        elif isinstance(message, Pause | Resume):
            before = self.calls[message.call_id]
            holders = set(before.holders)
            (holders.add if isinstance(message, Pause) else holders.discard)(message.holder)
            state = msgspec.structs.replace(
                before,
                version=before.version + 1,
                holders=tuple(sorted(holders)),
                recording="paused" if holders else "recording",
                recording_since=time.time(),
            )
            await self._set(state)
            link.send(PauseReply(message.ref, (message.call_id,), state.recording, durable=True))
