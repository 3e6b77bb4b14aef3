"""The folders of the switch's spools, and the keys and recipients that protect the spools.

Each switch process has one `SpoolFactory`. It holds the boot key and the archive's recipients, and
makes one call of `syncfs` a second for all spools together.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from config.settings import Settings
from recording.age.file import Recipient, encrypt_small
from recording.errors import KeyFileError, RecordingError, SpoolWriteError, has_failed
from recording.files.disk import WatchedDisk
from recording.keys.keyring import RecipientSet, load_or_create_boot_key
from recording.recorder import Recorder, RecordingStatus
from recording.spool import Clock, SpoolSync, SpoolWriter
from recording.spool.intervals import tick_for

log = structlog.get_logger()


def new_call_id(wall: float) -> str:
    """Return a new call id `YYYYMMDD-HHMMSS-xxxxxxxx`: sortable, unique and not personal.

    `wall` is the start of the call in Unix seconds. The id contains this time in UTC.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(wall))
    return f"{stamp}-{base64.b32encode(secrets.token_bytes(5)).decode().lower()}"


class SpoolFactory:
    """Opens the spools of all live calls."""

    def __init__(self, settings: Settings) -> None:
        self.folder, self._spare = settings.spool_folders
        self._keys = settings.node.runtime / "spool-keys"
        for folder in (self.folder, self._keys):
            folder.mkdir(mode=0o770, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # without this folder, there is no spare disk
            self._spare.mkdir(mode=0o770, exist_ok=True)
        self.key_fault: str | None = None
        """The reason why the boot key on the disk could not be read.

        None if the key was read, or if the settings keep the key in memory.
        """
        self._boot_key = self._load_key(*settings.boot_keys[:2])
        self._recording = settings.recording
        self._recipients_path = settings.recipients
        self._verified: tuple[bytes, list[Recipient]] | None = None
        self.fault: str | None = None
        """The reason why there are no valid recipients for a recording; None if there are.

        This is the result of the last check.
        """
        self.disk_fault: str | None = None
        """The reason why the last new spool was opened on the spare disk; None if it was not."""
        self.sync = SpoolSync(self.folder)
        self._disks = {folder: WatchedDisk() for folder in settings.spool_folders}

    def _load_key(self, first: Path, second: Path) -> bytes:
        """Return the boot key for new spools.

        `first` and `second` are files of boot keys. If the key `first` is on the disk and cannot be
        read, return the key `second`, which is in memory, because calls must be recorded even then.
        """
        try:
            return load_or_create_boot_key(first)
        except KeyFileError as error:
            if first.parent != self.folder:
                raise
            self.key_fault = str(error)
            return load_or_create_boot_key(second)

    def recipients(self) -> list[Recipient] | None:
        """Return the recipients for the next spool; on an error, set `fault` and return None."""
        try:
            found = self._load_recipients()
        except (RecordingError, OSError) as error:
            self.fault = str(error)
            return None
        self.fault = None
        return found

    def _load_recipients(self) -> list[Recipient]:
        """Return the recipients in the recipients file.

        The officer's signature of the file is verified only if the file has changed since the last
        call.
        """
        try:
            data = self._recipients_path.read_bytes()
        except OSError:
            data = b""  # then `RecipientSet.load` raises an error with the reason
        if self._verified is None or self._verified[0] != data:
            self._verified = None
            found = RecipientSet.load(self._recipients_path, self._recording.officer_key)
            self._verified = data, found.recipients
        return self._verified[1]

    def next_life(self, call_id: str, lives: int) -> int:
        """Return the number (the life) of a call's next spool; the number is higher than `lives`.

        The number of an existing spool file is not used again. Such a file can exist if a process
        died while it opened a spool, before it counted the spool. A file on a disk that does not
        respond cannot be seen, and is ignored.
        """
        life = lives + 1
        while any(self._shows(folder, f"{call_id}.{life}.spool") for folder in self._disks):
            life += 1
        return life

    def _shows(self, folder: Path, name: str) -> bool:
        try:
            return self._disks[folder].run(lambda: os.path.lexists(folder / name))
        except TimeoutError:
            return False

    def recorder(
        self,
        open_spool: Callable[[], SpoolWriter],
        open_on_other_disk: Callable[[], SpoolWriter],
        started: Clock,
        on_change: Callable[[RecordingStatus], None],
    ) -> Recorder:
        """Return a recorder for one call.

        The recorder calls `open_spool` to open the call's next spool. If there is a spare disk, it
        calls `open_on_other_disk` to open a spool there after the first disk has failed.
        """
        return Recorder(
            open_spool,
            started,
            tick_s=tick_for(self._recording.lookback),
            erase_back_s=self._recording.erase_back,
            on_change=on_change,
            sync=self.sync,
            open_on_other_disk=open_on_other_disk if self._has_spare else None,
        )

    def open(self, call_id: str, life: int, started: Clock) -> SpoolWriter:
        """Open spool number `life` (from 1) of a call; return its writer.

        If the first disk has failed, open the spool on the spare disk. A disk that is only full has
        not failed. Errors are raised as by `SpoolWriter.create`.
        """
        try:
            writer = self._make(self.folder, call_id, life, started)
        except SpoolWriteError as error:
            if not has_failed(error) or not self._has_spare:
                raise
            self.disk_fault = f"{self.folder}: {_reason(error)}"
            return self._make(self._spare, call_id, life, started)
        self.disk_fault = None
        return writer

    def open_spare(self, call_id: str, life: int, started: Clock) -> SpoolWriter:
        """Open spool number `life` of a call on the spare disk.

        Errors are raised as by `SpoolWriter.create`.
        """
        return self._make(self._spare, call_id, life, started)

    @property
    def _has_spare(self) -> bool:
        """True if the spare folder is on a different disk from the first folder.

        It is also true if the spare folder can be read and the first folder cannot.
        """
        try:
            spare = self._disks[self._spare].run(self._spare.stat)
        except OSError:
            return False
        try:
            return self._disks[self.folder].run(self.folder.stat).st_dev != spare.st_dev
        except OSError:
            return True

    def _make(self, folder: Path, call_id: str, life: int, started: Clock) -> SpoolWriter:
        recipients = self.recipients()
        wrap = None if recipients is None else lambda key: encrypt_small(key, recipients)
        return SpoolWriter.create(
            folder,
            self._keys,
            call_id,
            life,
            self._boot_key,
            wrap,
            started,
            self._recording.lookback,
            self._disks[folder],
        )


class CallSpools:
    """The spools of one call, numbered by life, from 1.

    A new spool begins in each process that continues the call, and at each change of the disk.
    """

    def __init__(self, factory: SpoolFactory, call_id: str) -> None:
        self.lives = 0
        """The number of spools that this call has had so far."""
        self._factory = factory
        self._call_id = call_id
        self._opened = False

    def recorder(self, started: Clock, on_change: Callable[[RecordingStatus], None]) -> Recorder:
        """Return the call's recorder, which opens the call's next spool.

        After a disk fails, the recorder opens a further spool.
        """
        return self._factory.recorder(
            partial(self._open, self._factory.open, started),
            partial(self._open, self._factory.open_spare, started),
            started,
            on_change,
        )

    def _open(self, make: Callable[[str, int, Clock], SpoolWriter], started: Clock) -> SpoolWriter:
        life = self._factory.next_life(self._call_id, self.lives)
        writer = make(self._call_id, life, started)
        if self._opened:
            log.warning("recording.moved", call_id=self._call_id, spool=life)
        self._opened = True
        self.lives = life
        return writer


def _reason(error: SpoolWriteError) -> str:
    """Return the text of the disk's error without the call's file name.

    The text is thus the same for all calls.
    """
    cause = error.__cause__
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)
