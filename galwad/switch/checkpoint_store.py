"""Checkpoint files, from which a new switch process continues the calls of a killed process.

Each call has one small file in the runtime folder (in memory, not on disk) that contains a
`Checkpoint`. The file is replaced whenever the checkpoint changes, and removed when the call ends.
What a reboot must not destroy is in `lasting_dialogs.py`.

If the folder is full, a changed checkpoint cannot be saved. The call's file is then out of date:
for example, it may say that the gate is open although the gate is now shut. Therefore the first
octet of this file is overwritten, which needs no space. From a file whose first octet is
overwritten, a new process reads only the legs, and ends them.

When a call ends, its file is marked before the spool is ended, and removed afterwards. From a
marked file, a new process does not continue the call, whenever the earlier process died.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from galwad.switch.checkpoint import Checkpoint, values_in
from galwad.switch.lasting_dialogs import LastingDialogs
from recording.files.atomic import replace_unsynced

_SPOILT = b"!"
"""The octet that replaces the `{` at the start of a checkpoint file that is out of date."""
_ENDED = b"."
"""The octet that replaces the `{` at the start of the checkpoint file of a call that has ended."""
log = structlog.get_logger()


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

        `lasting` also receives each checkpoint, and the end of each call; None if nothing of a call
        is stored on the disk.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lasting = lasting
        self._folder = folder
        self._last: dict[str, bytes] = {}

    def save(self, call_id: str, checkpoint: Checkpoint) -> None:
        """Save the checkpoint of a call, if the checkpoint has changed.

        Errors are logged and not raised, because the call must go on. After an error, a new switch
        process cannot continue the call, until a later `save` of the call succeeds.
        """
        data = msgspec.json.encode(checkpoint)
        if self._last.get(call_id) == data:
            return
        if self.lasting is not None:
            self.lasting.keep(call_id, checkpoint)
        path = self._folder / f"{call_id}.call"
        try:
            replace_unsynced(path, data)
        except OSError as error:
            log.error("checkpoint.not_kept", call_id=call_id, reason=error.strerror)  # noqa: TRY400 - no traceback needed
            self._last.pop(call_id, None)
            with contextlib.suppress(OSError):
                _overwrite(path, _SPOILT)
            return
        self._last[call_id] = data

    def mark_ended(self, call_id: str) -> None:
        """Mark the checkpoint file of a call that ends now, so that no process continues the call.

        Call this before anything that the end of the call changes for good. One octet is
        overwritten, which needs no space.
        """
        self._last.pop(call_id, None)
        with contextlib.suppress(OSError):
            _overwrite(self._folder / f"{call_id}.call", _ENDED)

    def remove(self, call_id: str) -> None:
        """Remove the checkpoint file of a call that has ended."""
        self._last.pop(call_id, None)
        if self.lasting is not None:
            self.lasting.remove(call_id)
        (self._folder / f"{call_id}.call").unlink(missing_ok=True)

    def left_behind(self) -> Iterator[tuple[str, LeftBehind]]:
        """Yield the call id and the checkpoint of each call that an earlier process did not end.

        If a checkpoint file cannot be read, it is deleted before its call is yielded, so that no
        later process reads this file again.
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
    """Replace the first octet of a file."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, octet)
    finally:
        os.close(descriptor)


def _mended(data: bytes) -> bytes:
    """Return the JSON in the file of a call that has ended, or the file as it is."""
    return b"{" + data[1:] if data.startswith(_ENDED) else data


def _legs_in(data: bytes) -> Mapping[str, object]:
    """Return the legs in an unreadable checkpoint; {} if the legs cannot be read either.

    The checkpoint is unreadable because it is damaged, out of date or from another release.
    """
    if data.startswith((_SPOILT, _ENDED)):
        data = b"{" + data[1:]
    try:
        return values_in(msgspec.json.decode(data, type=_Legs).legs)
    except msgspec.MsgspecError:
        return {}


class _Legs(msgspec.Struct):
    legs: msgspec.Raw
