"""Payment pauses of one call.

A pause is requested by the page, the API, or the advisor's phone. On the phone, the advisor dials a
code or presses the record key (the key of the phone that starts and stops recording). The caller's
phone cannot pause or resume, unless the caller is an advisor. The request of such a caller also
applies to the calls that this advisor holds. So a pause in a consultation stays in force if the
calls are joined, and if the advisor returns to the citizen.

The gate shuts as soon as a request to pause arrives. Coroutines wait for the disk: one confirms a
pause, another resumes.

When the record key is pressed, the phone sends a request with a `Record` header field. The digits
of a dialled code arrive as telephone events (RFC 4733) or in INFO requests
(`application/dtmf-relay`).

Pausing is safe and resuming is not, because a card number may be spoken. So a code to pause counts
from every sender whose media the leg accepts. A code to resume counts only if each of its digits is
proven: it arrived as authentic SRTP, or in the stream of the advisor's accepted voice while no
other sender competes, or in an INFO within the dialog.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import structlog

from galwad.switch.call.call_recording import CallRecording
from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.clocks import Now, read_clocks
from recording.policy import Trigger
from telephony.aio.relay import Watcher
from telephony.errors import ParseError
from telephony.rtp.dtmf import KeyPresses
from telephony.sip.message.content import key_of
from telephony.sip.message.messages import Request

AnswerKey = Callable[[int, str | None, Now], None]
"""The type of a function that responds to the SIP request of a record key.

The arguments are the SIP status, the reason phrase (None for the default) and `now`.
"""


class PauseAction(Enum):
    """The two requests that an advisor can make with the phone: pause and resume recording."""

    PAUSE = "pause"
    RESUME = "resume"


def record_key(value: str) -> PauseAction | None:
    """Return the request that a `Record` value makes; None if it is neither `off` nor `on`."""
    return {"off": PauseAction.PAUSE, "on": PauseAction.RESUME}.get(value.strip().lower())


@dataclass(frozen=True, slots=True)
class PaymentCodes:
    """The two dialled codes in the settings: one to pause a recording, and one to resume it.

    If the settings have no codes, the two codes are "".
    """

    pause: str = ""
    resume: str = ""

    def __bool__(self) -> bool:
        return bool(self.pause and self.resume)


class DialledCode(NamedTuple):
    """A code that was dialled completely."""

    action: PauseAction
    arrived_mono: float
    """The arrival of the code's final digit, in monotonic seconds."""
    begun_mono: float
    """The arrival of the code's first digit, in monotonic seconds."""


class CodeListener:
    """Recognises the dialled codes in the DTMF digits of one leg."""

    def __init__(self, book: PaymentCodes) -> None:
        both = {PauseAction.PAUSE: book.pause, PauseAction.RESUME: book.resume}
        self._proven = _Digits(both)
        """The digits that are proven. Digits of other senders do not come between them.

        After a complete pause code of another sender, these digits are forgotten too.
        """
        self._unproven = _Digits({PauseAction.PAUSE: book.pause})
        """All digits, proven or not."""

    def packet(self, data: bytes, arrived_mono: float, *, proven: bool) -> DialledCode | None:
        """Read a telephone-event packet, if it parses; return the code that it completes, or None.

        `proven` is true if the packet is certainly from the party whose voice the leg has accepted.
        """
        digits = (self._proven, self._unproven) if proven else (self._unproven,)
        try:
            pressed = [(each, each.presses.receive(data)) for each in digits]
        except ParseError:
            return None
        return self._press([(each, key) for each, key in pressed if key is not None], arrived_mono)

    def info(self, request: Request, arrived_mono: float) -> DialledCode | None:
        """Read an INFO request, which may contain a DTMF digit.

        The digit is proven, because the request has passed the checks of its dialog. Return the
        code that the request completes, or None.
        """
        key = key_of(request)
        if key is None:
            return None
        return self._press([(self._proven, key), (self._unproven, key)], arrived_mono)

    def _press(
        self, pressed: Iterable[tuple[_Digits, str]], arrived_mono: float
    ) -> DialledCode | None:
        """Add one digit; return the code if the most recent digits are one of the codes."""
        codes = [digits.add(key, arrived_mono) for digits, key in pressed]
        found = next((code for code in codes if code is not None), None)
        if found is not None:
            self._proven.forget()
            self._unproven.forget()
        return found


class _Digits:
    """The most recent digits of one leg, and the codes to find in them."""

    def __init__(self, codes: Mapping[PauseAction, str]) -> None:
        self._codes = codes
        self._longest = max(1, *map(len, codes.values()))
        self.presses = KeyPresses()
        self._tail = ""
        self._arrivals: deque[float] = deque(maxlen=self._longest)
        """The arrival of each digit in `_tail`, in monotonic seconds."""

    def add(self, key: str, arrived_mono: float) -> DialledCode | None:
        """Add a digit; return the code that ends with it, or None."""
        self._tail = (self._tail + key)[-self._longest :]
        self._arrivals.append(arrived_mono)
        for code, text in self._codes.items():
            if self._tail.endswith(text):
                return DialledCode(code, arrived_mono, self._arrivals[-len(text)])
        return None

    def forget(self) -> None:
        self._tail = ""


class RequestState(Enum):
    """The states of a request to pause or to resume.

    A request to pause shuts the gate before the request gets its first state. No state opens the
    gate: only the recorder does, after a resume is stored on the disk.
    """

    WAITING = "waiting"
    """The state of a request to resume until the work for it begins."""
    SUPERSEDED = "superseded"
    """The phone has made a later request, so this request changes nothing."""
    CONFIRMING = "confirming"
    """The disk is asked to confirm that the pause or the resume is stored."""
    DURABLE = "durable"
    """The disk has confirmed that the pause or the resume is stored."""
    NOT_DURABLE = "not durable"
    """The disk did not confirm a pause in 250 ms, or a resume in 5 s. A shut gate stays shut."""


class _PauseRequest:
    """One request to pause or to resume, from its arrival to the confirmation by the disk."""

    def __init__(self, state: RequestState, log: structlog.stdlib.BoundLogger) -> None:
        self._state = state
        self._log = log

    @property
    def confirmed(self) -> bool:
        """True if the change is on the disk, or if a later request has superseded this request."""
        return self._state in {RequestState.DURABLE, RequestState.SUPERSEDED}

    def enter(self, state: RequestState) -> None:
        """Change the request's state, and log the change. Only this method changes the state."""
        self._log.debug("payment.request", before=self._state.value, state=state.value)
        self._state = state


class Pauses:
    """Pauses and resumes the recordings that one party of a call controls."""

    def __init__(
        self,
        recordings: Callable[[], Sequence[CallRecording]],
        book: PaymentCodes,
        *,
        actor: Callable[[], str],
        alarm: Callable[[str], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """Start with no request to pause or to resume.

        `recordings` returns the recordings that are controlled at present. `book` has the dialled
        codes. `actor` returns the party's present phone, in the form in which the manifest names an
        actor. If this phone requests a pause, the phone is also the pause holder.
        """
        self._recordings = recordings
        self._book = book
        self._listener: CodeListener | None = None
        """Recognises the dialled codes; None until the first digit arrives."""
        self._actor = actor
        self._alarm = alarm
        self._log = log
        self._latest_resume: _PauseRequest | None = None
        self.tasks: set[asyncio.Task[bool]] = set()

    @property
    def watcher(self) -> Watcher | None:
        """The function that receives the leg's telephone events; None without dialled codes."""
        return self._packet if self._book else None

    def pause(
        self,
        pause: CallPause,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> Coroutine[None, None, bool]:
        """Shut the gate now, and return a coroutine that waits until the disk has stored the pause.

        The coroutine returns whether the disk has stored the pause within 250 ms. In both cases,
        the gate stays shut. The times are as in `CallRecording.shut`.
        """
        recordings = self._recordings()
        for recording in recordings:
            recording.shut(pause, arrived_mono, begun_mono)
        self._log.info("payment.pause", trigger=pause.trigger)
        return self._confirm(recordings, _PauseRequest(RequestState.CONFIRMING, self._log))

    async def resume(self, holder: str, actor: str) -> bool:
        """End the pause of `holder`, as `actor` asks; return whether the disk confirms in 5 s."""
        return await self._resume(holder, actor, _PauseRequest(RequestState.WAITING, self._log))

    def info(self, request: Request, now: Now) -> None:
        """Read an INFO request of the phone, which may contain a digit of a dialled code."""
        if self._book:
            self._dialled(self._codes.info(request, now.arrived))

    def _packet(self, data: bytes, arrived_mono: float, proven: bool) -> None:  # noqa: FBT001 - the interface of `Watcher`
        self._dialled(self._codes.packet(data, arrived_mono, proven=proven))

    @property
    def _codes(self) -> CodeListener:
        if self._listener is None:
            self._listener = CodeListener(self._book)
        return self._listener

    def record_key(self, value: str, now: Now, answer: AnswerKey) -> None:
        """Handle the SIP request that the phone sends when its record key is pressed.

        `value` is `off` for a pause and `on` for a resume. For any other value, the response is
        400. `answer` sends the response.
        """
        wanted = record_key(value)
        if wanted is None:
            self._alarm("record_key.unknown")
            answer(400, "Record Is On Or Off", now)
            return
        done = self._carry_out(wanted, Trigger.PHONE, now.arrived)
        self._spawn(_answer_when_done(done, answer))

    def _dialled(self, code: DialledCode | None) -> None:
        if code is None:
            return
        times = code.arrived_mono, code.begun_mono
        self._spawn(self._carry_out(code.action, Trigger.DTMF, *times))

    def _carry_out(
        self,
        wanted: PauseAction,
        trigger: Trigger,
        arrived_mono: float,
        begun_mono: float | None = None,
    ) -> Coroutine[None, None, bool]:
        """Shut the gate now if `wanted` is a pause; return a coroutine that waits for the disk.

        For a resume, the coroutine does the whole work. The coroutine returns True if the disk has
        confirmed a pause within 250 ms or a resume within 5 s, or if a later request has superseded
        the resume.
        """
        actor = self._actor()
        if wanted is PauseAction.PAUSE:
            # This pause supersedes an earlier resume if the work for that resume has not begun.
            self._latest_resume = None
            confirmed = self.pause(CallPause(actor, trigger, actor), arrived_mono, begun_mono)
            for recording in self._recordings():
                recording.triggered(trigger, actor, arrived_mono, begun_mono)
            return confirmed
        self._latest_resume = request = _PauseRequest(RequestState.WAITING, self._log)
        return self._resume_if_latest(actor, request)

    async def _resume_if_latest(self, actor: str, request: _PauseRequest) -> bool:
        if self._latest_resume is not request:
            request.enter(RequestState.SUPERSEDED)
            return request.confirmed
        return await self._resume(actor, actor, request)

    async def _resume(self, holder: str, actor: str, request: _PauseRequest) -> bool:
        self._log.info("payment.resume")
        request.enter(RequestState.CONFIRMING)
        resumed = (each.resume(holder, actor) for each in self._recordings())
        return self._confirmed(request, durable=all(await asyncio.gather(*resumed)))

    async def _confirm(self, recordings: Sequence[CallRecording], request: _PauseRequest) -> bool:
        stored = (each.make_durable() for each in recordings)
        return self._confirmed(request, durable=all(await asyncio.gather(*stored)))

    def _confirmed(self, request: _PauseRequest, *, durable: bool) -> bool:
        request.enter(RequestState.DURABLE if durable else RequestState.NOT_DURABLE)
        if not durable:
            self._alarm("recording.not_durable")
        return request.confirmed

    def _spawn(self, work: Coroutine[None, None, bool]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def _answer_when_done(done: Coroutine[None, None, bool], answer: AnswerKey) -> bool:
    """Wait for `done`, respond to the phone's request, and return the result of `done`.

    If `done` returns False, the response is 500, and the gate stays shut.
    """
    durable = await done
    status, reason = (200, None) if durable else (500, "Not Confirmed On Disk")
    answer(status, reason, read_clocks())
    return durable
