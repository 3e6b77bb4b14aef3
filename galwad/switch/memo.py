"""What a switch must know of a call to go on with it after its own end.

A `Memo` is the content of a checkpoint file: who was let in and who talks, what keeps the
recording shut, and the legs as `telephony.b2bua` wants them again. A call that still rings has
its INVITE instead, which is served anew. It holds numbers: it lives in the runtime folder alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from galwad.messages import CallStateName, Party
from galwad.switch.admission import Admission
from recording.policy import DestinationClass, Standing, Trigger


class EarlyHold(msgspec.Struct, frozen=True):
    """A payment hold of a call that has no recording: none yet, or it is to have none."""

    holder: str
    trigger: Trigger
    actor: str


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """An answered call."""

    state: CallStateName
    since: float
    advisor: Party | None
    group: tuple[Party, ...]
    """Behind a PBX that named nobody: everybody who may have answered."""
    target: dict[str, Any] | None
    """Whom the caller talks with, or talked with last, as `target_to` writes it."""
    identity: str
    referred_to: DestinationClass
    away: bool
    named: DestinationClass | None = None
    standing: Standing
    lives: int
    """How many spools the call has had: the next has the next number."""
    answered: float = 0.0
    """When it was, by the monotonic clock of this boot, in seconds; 0: not known."""


class Memo(msgspec.Struct, frozen=True, kw_only=True):
    """One call; `talk` is None while it rings."""

    admission: Admission
    started: float
    holds: tuple[EarlyHold, ...] = ()
    talk: Talk | None = None
    legs: dict[str, Any]
    """The b2bua's checkpoint."""


class Heir(msgspec.Struct, frozen=True):
    """What a call that is served anew inherits from the one that rang before the restart."""

    call_id: str
    memo: Memo
