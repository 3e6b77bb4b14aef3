"""A call in the log, and pure functions that return its row after a report."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from callerid.errors import NumberError
from callerid.number import PhoneNumber
from galwad.calls.live_calls import indexed_number, presented_by
from galwad.messages import CallEnded, CallStatus, Party, Sealed, Unanswered
from recording.policy import GapReason

CallOutcome: TypeAlias = Literal["", "answered", "missed", "abandoned", "refused"]
"""The outcome of a call; "" while the call is in progress.

"abandoned": the caller hung up before an answer; "refused": the phones were busy or declined;
"missed": the call was not answered for another reason.
"""
PartRole: TypeAlias = Literal["rang", "had", "sent", "made"]
TransferResult: TypeAlias = Literal["", "ringing", "answered", "returned", "lost"]
_OUTCOMES: dict[Unanswered, CallOutcome] = {"cancelled": "abandoned", "refused": "refused"}
MISSED: tuple[CallOutcome, ...] = ("missed", "abandoned", "refused")
"""The outcomes of calls that were not answered."""


class CallPart(msgspec.Struct, frozen=True):
    """The part that one phone has in a call.

    The phone "rang" and did not answer, "had" the call, "sent" it on, or "made" it. `user` is "" if
    the phone's user is not known. `at` is when the part began, in Unix seconds. Only a part "sent"
    has a `destination` (a class of destinations) and a `result`. The result "returned" means that
    the call came back to the phone, and "lost" that it ended before an answer.
    """

    role: PartRole
    user: str
    extension: str
    at: float
    destination: str = ""
    result: TransferResult = ""


class LoggedCall(msgspec.Struct, frozen=True):
    """One call in the log. Times are in Unix seconds; 0 means that the time has not come.

    An `internal` call is not to be recorded, such as a consultation. `number` is that of the
    caller, or of the called party of an outgoing call; "" if it is not known or no longer kept.
    `advisor` and `extension` are the last party of the centre that had the call, or the called
    party of an outgoing call. `pauses`, `paused_us` and `gaps` are 0 until the recording is sealed.
    `language` is the language that the confirmed caller prefers, or "".
    """

    call_id: str
    started: float
    answered: float = 0.0
    ended: float = 0.0
    line: str = ""
    outgoing: bool = False
    internal: bool = False
    number: str = ""
    withheld: bool = False
    advisor: str = ""
    extension: str = ""
    outcome: CallOutcome = ""
    transfers: int = 0
    destination: str = ""
    talk_us: int = 0
    pauses: int = 0
    paused_us: int = 0
    gaps: int = 0
    language: str = ""
    parts: tuple[CallPart, ...] = ()

    @property
    def users(self) -> frozenset[str]:
        """The users who have a part in the call."""
        return frozenset(part.user for part in self.parts if part.user)

    @property
    def is_news(self) -> bool:
        """True if an advisor's day may list the call: it has ended, or a transfer has begun."""
        return bool(self.ended) or any(part.role == "sent" for part in self.parts)


def follow(call: LoggedCall | None, status: CallStatus, now: float) -> LoggedCall | None:
    """Return the row after the switch's report of the call's state at the Unix time `now`.

    A call that had ended continues: its end was only assumed, or two joined calls have separated.
    The state "ended" changes nothing here; see `end`.
    """
    if status.state == "ended":
        return call
    number, withheld = _number_of(status)
    call = call or LoggedCall(status.call_id, status.started, parts=_made(status))
    call = replace(
        call,
        ended=0.0,
        outcome="",
        line=status.line,
        outgoing=status.outgoing,
        internal=not status.recorded,
        number=number,
        withheld=withheld,
    )
    if status.state != "ringing" and not call.answered:
        call = replace(call, answered=status.since)
    return _with_rings(_with_advisor(_with_transfers(call, status, now), status, now), status, now)


def end(call: LoggedCall | None, report: CallEnded) -> LoggedCall | None:
    """Return the row after the switch's report of the end; None if the call needs no row.

    If the desk did not run during a call that had to be recorded, the call gets a row here, and
    `seal` completes this row.
    """
    if call is None:
        if not report.for_ledger:
            return None
        call = LoggedCall(report.call_id, report.since or _answer_of(report))
    if report.lost_fork:
        call = _as_unanswered(call)
    answered = call.answered
    if report.since or report.talk_us is not None:
        answered = report.since or _answer_of(report)
    elif report.for_ledger and not answered:
        answered = report.ended
    outcome = "answered" if answered else _OUTCOMES.get(report.unanswered, "missed")
    talk_us = report.talk_us
    if talk_us is None:
        talk_us = round((report.ended - answered) * 1e6) if answered else 0
    parts = tuple(
        replace(part, result="lost") if part.result == "ringing" else part for part in call.parts
    )
    return replace(
        call,
        answered=answered,
        ended=report.ended,
        outcome=outcome,
        talk_us=max(talk_us, 0),
        parts=parts,
    )


def _as_unanswered(call: LoggedCall) -> LoggedCall:
    """Return the row of a lost fork as unanswered: another call has the caller."""
    parts = tuple(replace(part, role="rang") if part.role == "had" else part for part in call.parts)
    return replace(call, answered=0.0, advisor="", extension="", parts=parts)


def seal(call: LoggedCall | None, sealed: Sealed) -> LoggedCall:
    """Return the row after sealing. If the desk did not run during the call, fill in the row."""
    pauses = [gap for gap in sealed.gaps if gap.reason == GapReason.PAYMENT]
    if call is None:
        call = LoggedCall(sealed.call_id, sealed.started, answered=sealed.started)
    if not call.outcome:
        # The switch also reports the end of the call, but its report may not have arrived yet.
        ended = call.answered + sealed.talk_us / 1e6
        call = replace(call, ended=ended, outcome="answered", talk_us=sealed.talk_us)
    if not call.line and sealed.personal:
        had = CallPart("had", sealed.advisor, sealed.extension, call.answered)
        number, withheld = sealed.number, False
        if sealed.later_callers:
            number, withheld = sealed.later_callers[-1].number, sealed.later_callers[-1].withheld
        call = replace(
            call,
            started=min(call.started, sealed.started),
            line=sealed.line,
            number=indexed_number(number) or "",
            withheld=withheld,
            advisor=sealed.advisor,
            extension=sealed.extension,
            parts=(*call.parts, had),
        )
    return replace(
        call,
        pauses=len(pauses),
        paused_us=sum(gap.to_us - gap.from_us for gap in pauses),
        gaps=len(sealed.gaps),
    )


def _answer_of(report: CallEnded) -> float:
    return report.ended - (report.talk_us or 0) / 1e6


def _number_of(status: CallStatus) -> tuple[str, bool]:
    """Return `LoggedCall.number`, and whether the caller withholds the number."""
    if not status.outgoing:
        presented = presented_by(status.caller)
        return (presented.number.bare if presented.number else ""), presented.withheld
    try:
        return PhoneNumber.parse(status.called).bare, False
    except NumberError:
        return "", False


def _made(status: CallStatus) -> tuple[CallPart, ...]:
    if not status.outgoing:
        return ()
    return (CallPart("made", "", status.caller.from_user, status.started),)


def _with_transfers(call: LoggedCall, status: CallStatus, now: float) -> LoggedCall:
    parts = list(call.parts)
    rings = next((n for n, part in enumerate(parts) if part.result == "ringing"), None)
    completed = status.transfers > call.transfers
    if rings is None and (completed or status.transferring):
        sender = Party(call.extension, call.advisor)
        if status.advisor is not None and not completed:
            sender = status.advisor
        rings = len(parts)
        sent = CallPart("sent", sender.user, sender.extension, now, status.transferring, "ringing")
        parts.append(sent)
    if rings is not None and completed:
        parts[rings] = replace(parts[rings], destination=status.destination, result="answered")
    elif rings is not None and not status.transferring:
        parts[rings] = replace(parts[rings], result="returned")
    return replace(
        call, transfers=status.transfers, destination=status.destination, parts=tuple(parts)
    )


def _with_advisor(call: LoggedCall, status: CallStatus, now: float) -> LoggedCall:
    party = status.advisor
    if party is None or (status.transfers and not party.user):
        return call  # after a transfer, a party without a user may be outside the centre
    if (call.advisor, call.extension) == (party.user, party.extension):
        return call
    parts = [part for part in call.parts if not _is_part(part, "rang", party)]
    if parts and parts[-1].role == "had" and not parts[-1].user:
        parts.pop()  # an advisor behind a PBX has claimed the call
    first = all(part.role != "had" for part in parts)
    had = CallPart("had", party.user, party.extension, call.answered if first else now)
    return replace(call, advisor=party.user, extension=party.extension, parts=(*parts, had))


def _with_rings(call: LoggedCall, status: CallStatus, now: float) -> LoggedCall:
    """Add ringing phones. After the answer, skip phones without a user: they may be outside."""
    ringing = [
        party
        for party in status.ringing
        if party != status.advisor
        and (party.user or status.state == "ringing")
        and not any(_is_part(part, "rang", party) for part in call.parts)
    ]
    rang = (CallPart("rang", party.user, party.extension, now) for party in ringing)
    return replace(call, parts=(*call.parts, *rang))


def _is_part(part: CallPart, role: PartRole, party: Party) -> bool:
    if part.role != role:
        return False
    return part.user == party.user if party.user else part.extension == party.extension
