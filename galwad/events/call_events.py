"""The events of a call, derived from the states that the switch reports.

A `CallProgress` remembers which events exist. It is stored together with them, so after a restart
the same state leads to no second event. An event's id is derived from the call, the kind and a
count, so an event that is derived twice has the same id.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from galwad.calls.live_calls import indexed_number, presented_by
from galwad.messages import CallerFacts, CallStatus, Party, Sealed
from galwad.settings.desk import EventName

ANONYMOUS: Final = "anonymous"
"""The number of a caller who withholds it."""
_NAMESPACE: Final = UUID("5f1d3f0e-7f0b-4f0c-9a55-0c1f3f2f7c61")
"""The namespace of the ids of events. It must never change, or events are sent twice."""


class EventCall(msgspec.Struct, frozen=True):
    """The facts about a call that each of its events has.

    Numbers are in E.164 or internal extensions; `called` may be another text that was dialled.
    `caller` is "anonymous" if the number is withheld, and None if it is not known. `advisor` and
    `extension` are "" before the answer.
    """

    call_id: str
    started: float
    line: str
    called: str
    caller: str | None
    outgoing: bool = False
    advisor: str = ""
    extension: str = ""


class WebhookEvent(msgspec.Struct, frozen=True):
    """One event of a call. `at` is its time in Unix seconds.

    Each attribute after `call` is only set in events of one kind. `destination` is the class of a
    transfer's destination.
    """

    event_id: str
    kind: EventName
    at: float
    call: EventCall
    ringing: tuple[Party, ...] = ()
    destination: str = ""
    answered: bool = False
    talk_us: int = 0
    interrupted: bool = False


class SealedFacts(msgspec.Struct, frozen=True):
    """The facts about a sealed recording that its event has."""

    at: float
    talk_us: int
    interrupted: bool


class CallProgress(msgspec.Struct, frozen=True):
    """The newest reported state of a call. `pauses` and `transfers` are in the ids of its events.

    `ended` is a Unix time; 0 before the end. `sealed` has the facts of a recording that was sealed
    before the end of the call was known, otherwise None.
    """

    call: EventCall
    recorded: bool
    answered: bool = False
    paused: bool = False
    pauses: int = 0
    transfers: int = 0
    ended: float = 0.0
    sealed: SealedFacts | None = None


Step: TypeAlias = tuple[CallProgress | None, list[WebhookEvent]]
"""The new progress of a call, and its new events. The progress is None if no event can follow."""


def follow(progress: CallProgress | None, status: CallStatus, now: float) -> Step:
    """Return the step to the state that the switch reports at the Unix time `now`.

    The step has the events since the state in `progress`. If reports were missed, for example
    during a restart, some pauses and transfers have no events. For the end of a call, see `end`.
    """
    if status.state == "ended" or (progress is not None and progress.ended):
        return progress, []
    call, events = _call_of(status), list[WebhookEvent]()
    if progress is None:
        progress = CallProgress(call, status.recorded)
        first = replace(call, advisor="", extension="")
        events.append(_event("ringing", 1, status.started, first, ringing=status.ringing))
    if status.state != "ringing" and not progress.answered:
        progress = replace(progress, answered=True)
        events.append(_event("answered", 1, status.since, call))
    if status.transfers > progress.transfers:
        progress = replace(progress, transfers=status.transfers)
        reached = status.destination
        events.append(_event("transferred", status.transfers, now, call, destination=reached))
    if status.recording == "paused" and not progress.paused:
        progress = replace(progress, paused=True, pauses=progress.pauses + 1)
        events.append(_event("paused", progress.pauses, status.recording_since, call))
    elif status.recording == "recording" and progress.paused:
        progress = replace(progress, paused=False)
        events.append(_event("resumed", progress.pauses, status.recording_since, call))
    return replace(progress, call=call, recorded=status.recorded), events


def end(progress: CallProgress, ended: float) -> Step:
    """Return the step to the end of a call. Add the event of a recording that is already sealed."""
    if progress.ended:
        return progress, []
    events = [_event("ended", 1, ended, progress.call, answered=progress.answered)]
    if progress.sealed is not None:
        return None, [*events, _sealed(progress.call, progress.sealed)]
    expected = progress.answered and progress.recorded
    return (replace(progress, ended=ended) if expected else None), events


def seal(progress: CallProgress | None, sealed: Sealed, now: float) -> Step:
    """Return the step after a recording was reported as sealed at the Unix time `now`.

    If the call's end is not known yet, `end` adds the event later. For a call without a progress,
    the event has the facts of the recording.
    """
    facts = SealedFacts(now, sealed.talk_us, sealed.interrupted)
    if progress is not None and not progress.ended:
        return replace(progress, sealed=facts), []
    call = progress.call if progress is not None else _call_of_recording(sealed)
    return None, [_sealed(call, facts)]


def _call_of(status: CallStatus) -> EventCall:
    party = status.advisor or Party("")
    return EventCall(
        status.call_id,
        status.started,
        status.line,
        indexed_number(status.called) or "",
        _number_of(status.caller),
        status.outgoing,
        party.user,
        party.extension,
    )


def _number_of(caller: CallerFacts) -> str | None:
    presented = presented_by(caller)
    if presented.withheld:
        return ANONYMOUS
    return presented.number.bare if presented.number is not None else None


def _call_of_recording(sealed: Sealed) -> EventCall:
    number, withheld = sealed.number, False
    if sealed.later_callers:
        number, withheld = sealed.later_callers[-1].number, sealed.later_callers[-1].withheld
    return EventCall(
        sealed.call_id,
        sealed.started,
        sealed.line,
        called="",
        caller=ANONYMOUS if withheld else indexed_number(number),
        advisor=sealed.advisor,
        extension=sealed.extension,
    )


def _sealed(call: EventCall, facts: SealedFacts) -> WebhookEvent:
    more = {"talk_us": facts.talk_us, "interrupted": facts.interrupted}
    return _event("sealed", 1, facts.at, call, **more)


def _event(
    kind: EventName, occurrence: int, at: float, call: EventCall, **more: Any
) -> WebhookEvent:
    event_id = uuid5(_NAMESPACE, f"{call.call_id}/{kind}/{occurrence}")
    return WebhookEvent(str(event_id), kind, at, call, **more)
