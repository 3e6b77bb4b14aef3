"""The state of a call that the next switch process needs to continue it.

A `Checkpoint` is the content of a checkpoint file. It contains the admission, the parties, the
causes that keep the recording shut, and the legs in the form that `telephony.b2bua` restores. For a
call that still rings it contains the INVITE, which is then handled as if it had just arrived. A
checkpoint contains phone numbers, so it is stored only in the runtime folder.

A field has the same name in the file as when the first release wrote it (`name=`): a new process
reads the files of an old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from galwad.messages import Party
from galwad.switch.admission import Admission
from recording.policy import DestinationClass, ShutCauses, Trigger
from telephony.b2bua import TargetCheckpoint


class CallPhase(StrEnum):
    """The phases of a call, with the names that the desk and the checkpoint use.

    A call rings, is answered, and ends; while it is answered, a SIP hold begins and ends.
    """

    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    ENDED = "ended"


class EarlyPause(msgspec.Struct, frozen=True):
    """A payment pause of a call without a recorder: not answered yet, or not to be recorded."""

    holder: str
    trigger: Trigger
    actor: str


class AnsweredState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an answered call."""

    phase: CallPhase = msgspec.field(name="state")
    since: float
    advisor: Party | None
    group: tuple[Party, ...]
    """The advisors of whom one has answered, while their PBX has not named a user."""
    target: TargetCheckpoint | None
    """The target with which the caller talks, or talked last."""
    identity: str
    referred_to: DestinationClass
    outside: bool = msgspec.field(name="away")
    identity_class: DestinationClass | None = msgspec.field(name="named", default=None)
    shut_causes: ShutCauses = msgspec.field(name="standing")
    """The causes that keep the gate shut."""
    lives: int
    """The number of spools that the call has had; the next spool has the next number."""
    answered_at: float = msgspec.field(name="answered", default=0.0)
    """The time of the answer, in seconds on the monotonic clock of this boot; 0: not known."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one call; `answered` is `None` while it rings."""

    admission: Admission
    started: float
    early_pauses: tuple[EarlyPause, ...] = msgspec.field(name="holds", default=())
    answered: AnsweredState | None = msgspec.field(name="talk", default=None)
    legs: msgspec.Raw
    """The checkpoint of the b2bua, in JSON; only `telephony.b2bua` knows what is in it."""

    def legs_values(self) -> Mapping[str, object]:
        """Return the checkpoint of the b2bua in plain values; empty if it is not one."""
        return values_in(self.legs)


def values_in(json: msgspec.Raw) -> Mapping[str, object]:
    """Return the fields of a JSON object; none if it is another value."""
    try:
        return msgspec.json.decode(json, type=dict[str, object])
    except msgspec.MsgspecError:
        return {}


class RingingCall(msgspec.Struct, frozen=True):
    """The id and the state of a call that rang before a restart, for the call that replaces it."""

    call_id: str
    checkpoint: Checkpoint
