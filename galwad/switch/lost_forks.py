"""Recognises an answered call as the lost fork of a PBX in front of Galwad.

A PBX may ring several extensions for one caller, each with a call of its own through Galwad. If two
are answered at almost the same time, the PBX keeps one and hangs up the other at once. No one has
talked in the other call, so it is no call of an advisor, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from galwad.switch.admission import Admission
from galwad.switch.callers import numbers_of, spelled_number
from telephony.b2bua import BackToBackCall, EndCause

LONGEST_US: Final = 1_000_000
"""The longest talk time of a lost fork, in microseconds.

The PBX hangs up as soon as it has our 200, which is sent again after half a second if it is lost.
"""
APART_S: Final = 2.0
"""The longest time between the INVITEs of the calls that ring for one caller, in seconds."""


class Fork(Protocol):
    """The parts of a call that decide whether it is a fork of another call."""

    admission: Admission
    legs: BackToBackCall
    started: float
    """The Unix time of its INVITE in seconds."""


def is_lost_fork(call: Fork, cause: str, talk_us: int | None, others: Iterable[Fork]) -> bool:
    """Return whether an answered call has ended as the lost fork of a PBX.

    `talk_us` is its talk time in microseconds; None if it is not known. The PBX says in its BYE
    that another party has answered, or one of the live calls `others` is for the same caller.
    """
    admission = call.admission
    if talk_us is None or talk_us >= LONGEST_US or not admission.trunk or not admission.trusted:
        return False
    if cause == EndCause.CALLER_HUNG_UP:
        return any(_are_for_one_caller(call, other) for other in others)
    return cause == EndCause.ANSWERED_ELSEWHERE


def _are_for_one_caller(call: Fork, other: Fork) -> bool:
    """Return whether a PBX rings two extensions for one caller, and `other` is answered."""
    ours, theirs = call.admission, other.admission
    numbers = {number for name in numbers_of(ours.caller) if (number := spelled_number(name))}
    return (
        other.legs.answered
        and theirs.trunk == ours.trunk
        and theirs.called != ours.called
        and abs(other.started - call.started) <= APART_S
        and not numbers.isdisjoint(numbers_of(theirs.caller))
    )
