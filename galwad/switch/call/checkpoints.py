"""The state of a call that the next switch process needs to continue the call.

A checkpoint contains the facts about the caller, the parties, the causes that keep the gate shut,
and the legs in the form that `telephony.b2bua` restores. If the call is still ringing, the
checkpoint contains the INVITE, which the next process handles like a new INVITE. A checkpoint
contains phone numbers, so it is stored only in the runtime folder.

The argument `name=` of a field is the field's name in the file. This name never changes, so that a
process of a newer release can read the files of an older release.

Each call has one small file in the runtime folder (in memory, not on disk) that contains a
`Checkpoint`. The file is replaced whenever the checkpoint changes, and removed when the call ends.
What a reboot must not destroy is in `appended_files.py`.

If the folder is full, a changed checkpoint cannot be saved. The call's file is then out of date:
for example, it may say that the gate is open although the gate is now shut. Therefore the first
octet of this file is overwritten with `!`, which needs no space. From such a file, a new process
reads only the legs, and ends the call on them.

When a call ends, its file is marked (the first octet becomes `.`) before the spool is ended, and
removed afterwards. A new process does not continue a call whose file is marked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import structlog

from galwad.messages import CallerFacts, Party
from galwad.switch.call.appended_files import LastingDialogs
from galwad.switch.edge.admission import Admission
from recording.files.atomic import replace_unsynced
from recording.policy import DestinationClass, RecordingState, ShutCauses, Trigger
from recording.spool.gate import SavedLateness
from telephony.b2bua import TargetCheckpoint

_SPOILT = b"!"
"""The octet that replaces the `{` at the start of a checkpoint file that is out of date."""
_ENDED = b"."
"""The octet that replaces the `{` at the start of the checkpoint file of a call that has ended."""
log = structlog.get_logger()


class CallPhase(StrEnum):
    """The phases of a call. The desk and the checkpoint use the same names."""

    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    ENDED = "ended"


class CallPause(msgspec.Struct, frozen=True):
    """A payment pause of a call: its holder, its trigger, and the actor who began it."""

    holder: str
    trigger: Trigger
    actor: str


class AnsweredState(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a checkpoint that only an answered call has."""

    phase: CallPhase = msgspec.field(name="state")
    since: float
    """The time of the answer in Unix seconds."""
    advisor: Party | None
    group: tuple[Party, ...]
    """The advisors behind the PBX that answered, while any of them may have the call."""
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
    """The life number of the call's newest spool; 0 before the first spool."""
    answered_at: float = msgspec.field(name="answered", default=0.0)
    """The time of the answer, in seconds of the monotonic clock of this boot; 0 if not known."""
    recording: RecordingState | None = None
    """The state of the recording; None if an older release has written the file."""
    recording_since: float = 0.0
    """The Unix time in seconds at which `recording` began."""
    lateness: SavedLateness | None = None
    """The state by which late packets of a pause are recognised; None if there is none."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The saved state of one call; `answered` is None while the call rings."""

    admission: Admission
    started: float
    caller: CallerFacts | None = None
    """The present caller, if a trunk has named another caller since the INVITE; otherwise None."""
    callers: int = 1
    consults: str = ""
    """The id of the call whose advisor has made this call; "" if it is not a consultation."""
    kept_by: str = ""
    """The id of the call with which a PBX has joined this call; "" if there is none."""
    early_pauses: tuple[CallPause, ...] = msgspec.field(name="holds", default=())
    """The pauses of a call that has no recorder, because it still rings or is not recorded."""
    answered: AnsweredState | None = msgspec.field(name="talk", default=None)
    legs: msgspec.Raw
    """The legs in JSON, as `telephony.b2bua` saved them. Only that package knows the fields."""

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


@dataclass(frozen=True, slots=True)
class UnreadableCheckpoint:
    """A checkpoint that is damaged, out of date, or from another release."""

    legs: Mapping[str, object]
    """The part of the checkpoint that describes the legs; empty if this part cannot be read."""


@dataclass(frozen=True, slots=True)
class EndedCheckpoint:
    """The checkpoint of a call that has ended. The process died before it removed the file."""

    checkpoint: Checkpoint


LeftBehind = Checkpoint | EndedCheckpoint | UnreadableCheckpoint


class CheckpointStore:
    """The checkpoint files of the live calls."""

    def __init__(self, folder: Path, lasting: LastingDialogs | None = None) -> None:
        """Create the folder if it does not exist.

        `lasting` also receives the dialogs of each answered call, and the end of each call; None if
        nothing of a call is stored on the disk.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lasting = lasting
        self._folder = folder
        self._last: dict[str, Checkpoint] = {}
        self._paths: dict[str, Path] = {}

    def save(self, call_id: str, checkpoint: Checkpoint) -> None:
        """Save the checkpoint of a call, if the checkpoint has changed.

        Errors are logged and not raised, because the call must go on. After an error, a new switch
        process cannot continue the call, until a later `save` of the call succeeds.
        """
        if self._last.get(call_id) == checkpoint:
            return
        self._keep_dialogs(call_id, checkpoint)
        path = self._path(call_id)
        try:
            replace_unsynced(path, msgspec.json.encode(checkpoint))
        except OSError as error:
            log.error("checkpoint.not_kept", call_id=call_id, reason=error.strerror)  # noqa: TRY400 - no traceback needed
            self._last.pop(call_id, None)
            with contextlib.suppress(OSError):
                _overwrite(path, _SPOILT)
            return
        self._last[call_id] = checkpoint

    def _keep_dialogs(self, call_id: str, checkpoint: Checkpoint) -> None:
        if self.lasting is not None and checkpoint.answered is not None:
            self.lasting.keep(
                call_id,
                checkpoint.legs,
                answered_at=checkpoint.answered.since,
                recorded=checkpoint.admission.recorded,
            )

    def mark_ended(self, call_id: str) -> None:
        """Mark the file of a call that ends now, so that no process continues it.

        Call this before the end of the call changes its spool. One octet is overwritten, which
        needs no space.
        """
        self._last.pop(call_id, None)
        with contextlib.suppress(OSError):
            _overwrite(self._path(call_id), _ENDED)

    def remove(self, call_id: str) -> None:
        """Remove the checkpoint file of a call that has ended."""
        self._last.pop(call_id, None)
        if self.lasting is not None:
            self.lasting.remove(call_id)
        self._path(call_id).unlink(missing_ok=True)
        del self._paths[call_id]

    def _path(self, call_id: str) -> Path:
        path = self._paths.get(call_id)
        if path is None:
            path = self._paths[call_id] = self._folder / f"{call_id}.call"
        return path

    def left_behind(self) -> Iterator[tuple[str, LeftBehind]]:
        """Yield the id and checkpoint of each call whose file an earlier process left behind.

        An unreadable file is deleted first, so that no later process reads it again.
        """
        for half_written in self._folder.glob("*.new"):
            half_written.unlink(missing_ok=True)
        for path in sorted(self._folder.glob("*.call")):
            data = path.read_bytes()
            has_ended = data.startswith(_ENDED)
            try:
                checkpoint = msgspec.json.decode(_mended(data), type=Checkpoint)
                yield path.stem, EndedCheckpoint(checkpoint) if has_ended else checkpoint
            except msgspec.MsgspecError:
                log.warning("checkpoint.unreadable", call_id=path.stem)
                path.unlink()
                yield path.stem, UnreadableCheckpoint(_legs_in(data))


def _overwrite(path: Path, octet: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, octet)
    finally:
        os.close(descriptor)


def _mended(data: bytes) -> bytes:
    """Return `data`. If the file was marked as ended, restore its first octet."""
    return b"{" + data[1:] if data.startswith(_ENDED) else data


def _legs_in(data: bytes) -> Mapping[str, object]:
    """Return the legs in the checkpoint of an `UnreadableCheckpoint`; {} if they are damaged."""
    if data.startswith((_SPOILT, _ENDED)):
        data = b"{" + data[1:]
    try:
        return values_in(msgspec.json.decode(data, type=_Legs).legs)
    except msgspec.MsgspecError:
        return {}


class _Legs(msgspec.Struct):
    legs: msgspec.Raw
