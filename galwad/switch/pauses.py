"""Payment pauses of one call: by the page, an API, a dialled code or a phone's record key.

The gate shuts as soon as a request arrives, before anything else is done. Work that must wait for
the disk (confirming a pause, every resume) is awaited or runs as a task. Only keys of the advisor's
side are followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum

import structlog

from galwad.switch.clocks import read_clocks
from galwad.switch.codes import CodeListener, PauseAction, PaymentCodes, record_key
from galwad.switch.recording import CallRecording
from recording.policy import Trigger
from recording.spool import Clock
from telephony.aio.relay import Watcher
from telephony.sip.message.messages import Request

AnswerKey = Callable[[int, int, str | None, Clock], None]
"""Answers a record key: takes the request id, the status, an optional reason phrase and `now`."""


class RequestState(Enum):
    """The states of a request to pause or to resume.

    A pause has shut the gate before its first state. No state opens the gate: the recorder does,
    when the disk has a resume and no other cause keeps the gate shut.
    """

    WAITING = "waiting"
    """A key's resume, which begins when the event loop is free."""
    SUPERSEDED = "superseded"
    """The phone made a later request, so this one changes nothing."""
    CONFIRMING = "confirming"
    """The disk has been asked to confirm the pause or the resume."""
    DURABLE = "durable"
    """The disk has confirmed."""
    NOT_DURABLE = "not durable"
    """The disk has not confirmed in time; a paused gate stays shut."""


class _PauseRequest:
    """One request to pause or to resume, from its arrival to the disk's answer."""

    def __init__(self, state: RequestState, log: structlog.stdlib.BoundLogger) -> None:
        self._state = state
        self._log = log

    @property
    def confirmed(self) -> bool:
        """True if the disk has the request, or if it changes nothing."""
        return self._state in {RequestState.DURABLE, RequestState.SUPERSEDED}

    def enter(self, state: RequestState) -> None:
        """Change the state; no other method does."""
        self._log.debug("payment.request", before=self._state.value, state=state.value)
        self._state = state


class Pauses:
    """Pauses and resumes one call's recording for payments."""

    def __init__(
        self,
        recording: CallRecording,
        book: PaymentCodes,
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
        self._latest_resume: _PauseRequest | None = None
        self._tasks: set[asyncio.Task[bool]] = set()

    @property
    def watcher(self) -> Watcher | None:
        """The function that receives the advisor's telephone events; None if there are no codes."""
        return self._codes.packet if self._codes is not None else None

    def pause(
        self, holder: str, trigger: Trigger, actor: str, arrived_mono: float | None = None
    ) -> Coroutine[None, None, bool]:
        """Shut the gate now; return a coroutine that returns whether the pause is durable.

        The gate is shut once, when this method is called, and stays shut whatever the coroutine
        returns. `arrived_mono` is when the trigger arrived (monotonic seconds); None means now.
        """
        self._recording.shut(holder, trigger, actor, arrived_mono)
        self._log.info("payment.hold", trigger=trigger)
        return self._confirm(_PauseRequest(RequestState.CONFIRMING, self._log))

    async def resume(self, holder: str, actor: str) -> bool:
        """Remove a pause holder; return whether that is durable."""
        return await self._resume(holder, actor, _PauseRequest(RequestState.WAITING, self._log))

    def info(self, request: Request, now: Clock) -> None:
        """Read an INFO request of the advisor's phone that may carry a key."""
        if self._codes is not None:
            self._codes.info(request, now.mono)

    def record_key(self, request_id: int, value: str, now: Clock) -> None:
        """Pause or resume for the record key, and answer once the disk has confirmed.

        A value other than `on` and `off` is answered with 400.
        """
        wanted = record_key(value)
        if wanted is None:
            self._alarm("record_key.unknown")
            self._answer_key(request_id, 400, "Record Is On Or Off", now)
            return
        done = self._carry_out(wanted, Trigger.PHONE, now.mono)
        self._spawn(self._answer_when_done(request_id, done))

    def _on_code(self, code: PauseAction, arrived_mono: float) -> None:
        self._spawn(self._carry_out(code, Trigger.DTMF, arrived_mono))

    def _carry_out(
        self, wanted: PauseAction, trigger: Trigger, arrived_mono: float
    ) -> Coroutine[None, None, bool]:
        """Shut the gate now for a pause; the returned coroutine confirms the pause, or resumes."""
        actor = self._actor()
        if wanted is PauseAction.PAUSE:
            self._latest_resume = None  # one that still waits is superseded
            return self.pause(actor, trigger, actor, arrived_mono)
        self._latest_resume = request = _PauseRequest(RequestState.WAITING, self._log)
        return self._resume_if_latest(actor, request)

    async def _resume_if_latest(self, actor: str, request: _PauseRequest) -> bool:
        """Resume, unless the phone made a later request before this one began."""
        if self._latest_resume is not request:
            request.enter(RequestState.SUPERSEDED)
            return request.confirmed
        return await self._resume(actor, actor, request)

    async def _resume(self, holder: str, actor: str, request: _PauseRequest) -> bool:
        self._log.info("payment.release")
        request.enter(RequestState.CONFIRMING)
        return self._confirmed(request, durable=await self._recording.resume(holder, actor))

    async def _answer_when_done(self, request_id: int, done: Coroutine[None, None, bool]) -> bool:
        """Answer 200 if the change is durable, else 500; in both cases a paused gate stays shut."""
        durable = await done
        status, reason = (200, None) if durable else (500, "Not Confirmed On Disk")
        self._answer_key(request_id, status, reason, read_clocks())
        return durable

    async def _confirm(self, request: _PauseRequest) -> bool:
        return self._confirmed(request, durable=await self._recording.make_durable())

    def _confirmed(self, request: _PauseRequest, *, durable: bool) -> bool:
        request.enter(RequestState.DURABLE if durable else RequestState.NOT_DURABLE)
        if not durable:
            self._alarm("recording.not_durable")
        return request.confirmed

    def _spawn(self, work: Coroutine[None, None, bool]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
