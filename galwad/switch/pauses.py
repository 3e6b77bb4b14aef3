"""Payment pauses of one call: by the page, an API, a dialled code or a phone's record key.

The gate shuts as soon as a request arrives. Work that must wait for the disk (confirming a pause,
every resume) is awaited or runs as a task. Only keys of the advisor's side are followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

import structlog

from galwad.switch.codes import Code, CodeBook, CodeListener, record_key
from galwad.switch.recording import CallRecording
from recording.policy import Trigger
from telephony.aio.relay import Watcher
from telephony.sip.message.messages import Request

AnswerKey = Callable[[int, int, str | None], None]
"""Answers a record key: takes the request id, the status and an optional reason phrase."""


class Holds:
    """Pauses and resumes one call's recording for payments."""

    def __init__(
        self,
        recording: CallRecording,
        book: CodeBook,
        *,
        actor: Callable[[], str],
        alarm: Callable[[str], None],
        answer_key: AnswerKey,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """Connect the parts; `actor` returns the phone that has the call now.

        That phone is the pause holder of what its keys request.
        """
        self._recording = recording
        self._codes = CodeListener(book, self._on_code) if book else None
        self._actor = actor
        self._alarm = alarm
        self._answer_key = answer_key
        self._log = log
        self._wishes = 0
        self._tasks: set[asyncio.Task[bool]] = set()

    @property
    def watcher(self) -> Watcher | None:
        """The function that receives the advisor's telephone events; None if there are no codes."""
        return self._codes.packet if self._codes is not None else None

    async def hold(self, holder: str, trigger: Trigger, actor: str) -> bool:
        """Pause for a payment; return whether that is durable. The gate is shut in any case."""
        self._log.info("payment.hold", trigger=trigger)
        self._recording.shut(holder, trigger, actor)
        return await self._confirm()

    async def release(self, holder: str, actor: str) -> bool:
        """Remove a pause holder; return whether that is durable."""
        self._log.info("payment.release")
        return self._confirmed(await self._recording.release(holder, actor))

    def info(self, request: Request) -> None:
        """Read an INFO request of the advisor's phone that may carry a key."""
        if self._codes is not None:
            self._codes.info(request, time.monotonic())

    def record_key(self, request_id: int, value: str) -> None:
        """Pause or resume for the record key, and answer once the disk has confirmed.

        A value other than `on` and `off` is answered with 400.
        """
        wish = record_key(value)
        if wish is None:
            self._alarm("record_key.unknown")
            self._answer_key(request_id, 400, "Record Is On Or Off")
            return
        done = self._heed(wish, Trigger.PHONE, time.monotonic())
        self._spawn(self._answered(request_id, done))

    def _on_code(self, code: Code, arrived_mono: float) -> None:
        self._spawn(self._heed(code, Trigger.DTMF, arrived_mono))

    def _heed(
        self, wish: Code, trigger: Trigger, arrived_mono: float
    ) -> Coroutine[None, None, bool]:
        """Shut the gate now for a pause; the returned coroutine confirms the pause, or resumes."""
        actor = self._actor()
        self._wishes += 1
        if wish is Code.RESUME:
            return self._let_go(actor, self._wishes)
        self._log.info("payment.hold", trigger=trigger)
        self._recording.shut(actor, trigger, actor, arrived_mono)
        return self._confirm()

    async def _let_go(self, actor: str, wish: int) -> bool:
        """Resume, unless the phone made a later request before this one began."""
        return self._wishes != wish or await self.release(actor, actor)

    async def _answered(self, request_id: int, done: Coroutine[None, None, bool]) -> bool:
        """Answer 200 if the change is durable, else 500; in both cases a paused gate stays shut."""
        durable = await done
        if durable:
            self._answer_key(request_id, 200, None)
        else:
            self._answer_key(request_id, 500, "Not Confirmed On Disk")
        return durable

    async def _confirm(self) -> bool:
        return self._confirmed(await self._recording.make_durable())

    def _confirmed(self, durable: bool) -> bool:  # noqa: FBT001 - the disk's answer, passed on
        if not durable:
            self._alarm("recording.not_durable")
        return durable

    def _spawn(self, work: Coroutine[None, None, bool]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
