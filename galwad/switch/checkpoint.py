"""The state of a call that the next switch process needs to continue the call.

Each checkpoint file contains one `Checkpoint`. A checkpoint contains the facts about the caller,
the parties, the causes that keep the gate shut, and the legs in the form that `telephony.b2bua`
restores. If the call is still ringing, the checkpoint contains the INVITE, which the next process
handles like a new INVITE. A checkpoint contains phone numbers, so it is stored only in the runtime
folder.

The argument `name=` of a field is the field's name in the file. This name never changes, so that a
process of a newer release can read the files of an older release.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from galwad.messages import CallerFacts, Party
from galwad.switch.admission import Admission
from recording.policy import DestinationClass, RecordingState, ShutCauses, Trigger
from recording.spool.gate import SavedLateness
from telephony.b2bua import TargetCheckpoint


class CallPhase(StrEnum):
    """The phases of a call. The desk and the checkpoint use the same names.

    A call rings, is answered, and ends. After the answer, a peer may put the call on hold and
    resume the call.
    """

    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    ENDED = "ended"


class CallPause(msgspec.Struct, frozen=True):
    """A payment pause of a call: its holder, and what and who has begun it."""

    holder: str
    trigger: Trigger
    actor: str


class AnsweredState(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a checkpoint that only an answered call has."""

    phase: CallPhase = msgspec.field(name="state")
    since: float
    advisor: Party | None
    group: tuple[Party, ...]
    """The group of advisors behind the PBX that answered the call. One of them has the call.

    The tuple is empty if a phone answered. It becomes empty when an advisor claims the call, or
    when a new party gets the call.
    """
    target: TargetCheckpoint | None
    """The target that most recently talked with the caller; None if there was no such target."""
    identity: str
    referred_to: DestinationClass
    outside: bool = msgspec.field(name="away")
    identity_class: DestinationClass | None = msgspec.field(name="named", default=None)
    transfers: int = 0
    """The number of complete transfers of the call."""
    destination: str = ""
    """The destination class of the last complete transfer; "" if there was none."""
    shut_causes: ShutCauses = msgspec.field(name="standing")
    """The causes that keep the gate shut at present."""
    lives: int
    """The life number of the call's most recent spool; 0 before the first spool.

    The life number of the call's next spool must be higher.
    """
    answered_at: float = msgspec.field(name="answered", default=0.0)
    """The time of the answer in seconds, on the monotonic clock of this boot; 0 if not known."""
    recording: RecordingState | None = None
    """The state of the recording; None if an older release has written the file."""
    recording_since: float = 0.0
    """The Unix time in seconds at which `recording` began."""
    lateness: SavedLateness | None = None
    """The state by which late packets of a pause are recognised; None if there is none.

    It is that of the latest change of the call. A pause is such a change.
    """


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The saved state of one call; `answered` is None while the call rings."""

    admission: Admission
    started: float
    caller: CallerFacts | None = None
    """The present caller, if a trunk has named another caller since the INVITE; otherwise None."""
    callers: int = 1
    """The number of callers that the call has had."""
    consults: str = ""
    """The id of the call whose advisor has made this call; "" if it is not a consultation."""
    kept_by: str = ""
    """The id of the call that goes on for this call too, because a PBX has joined them; or ""."""
    early_pauses: tuple[CallPause, ...] = msgspec.field(name="holds", default=())
    """The pauses of a call that has no recorder, because it still rings or is not recorded."""
    answered: AnsweredState | None = msgspec.field(name="talk", default=None)
    legs: msgspec.Raw
    """The legs in JSON, as `telephony.b2bua` saved them.

    Only `telephony.b2bua` knows the meaning of the fields in this JSON.
    """

    def legs_values(self) -> Mapping[str, object]:
        """Return the decoded fields of `legs`; empty if `legs` is not a JSON object."""
        return values_in(self.legs)


def values_in(json: msgspec.Raw) -> Mapping[str, object]:
    """Return the fields of a JSON object; empty if `json` is not a JSON object."""
    try:
        return msgspec.json.decode(json, type=dict[str, object])
    except msgspec.MsgspecError:
        return {}


class RingingCall(msgspec.Struct, frozen=True):
    """The call id and the checkpoint of a call that was ringing before a restart.

    After the restart, a new call gets this call id and continues with this checkpoint.
    """

    call_id: str
    checkpoint: Checkpoint
