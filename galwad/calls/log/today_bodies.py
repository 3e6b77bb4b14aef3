"""Response bodies about an advisor's calls of today."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel

NoteState: TypeAlias = Literal["", "missing", "saved", "not_needed"]


class TodaysCall(BaseModel):
    """A call of today that has ended.

    `number` is that of the party outside, in E.164, and `number_display` as people write it. Both
    are None if there is none, or if it is no longer kept. `note` is the state of the advisor's
    contact note; "" if the call needs none, or if its note is another advisor's. `purpose` is that
    of the note.
    """

    call_id: str
    started: float
    line: str
    outgoing: bool
    number: str | None
    number_display: str | None
    withheld: bool
    length: float
    purpose: str
    note: NoteState


class MissedCall(BaseModel):
    """A call of today that rang at the advisor's phone, and that no advisor has answered since.

    `waited` is the time in seconds for which it rang. `outcome` says how it ended: the caller hung
    up ("abandoned"), the phones refused it ("refused"), or no advisor answered ("missed").
    """

    call_id: str
    started: float
    line: str
    number: str | None
    number_display: str | None
    withheld: bool
    waited: float
    outcome: Literal["missed", "abandoned", "refused"]


class TodaysTransfer(BaseModel):
    """A transfer by the advisor, and its result.

    The destination is "ringing" or has "answered"; or the call has "returned" to the advisor, or
    was "lost", because it ended before the destination answered.
    """

    call_id: str
    at: float
    line: str
    destination: str
    result: Literal["ringing", "answered", "returned", "lost"]


class Today(BaseModel):
    """The advisor's day: each list has the newest first.

    `since` is the beginning of the day, in Unix seconds. `cut` is true if a list was too long.
    """

    since: float
    calls: list[TodaysCall]
    missed: list[MissedCall]
    transfers: list[TodaysTransfer]
    cut: bool
