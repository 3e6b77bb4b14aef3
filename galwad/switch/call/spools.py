"""The folders of the switch's spools, and the keys and recipients that protect the spools.

Each switch process has one `SpoolFactory`, which holds the boot key and the archive's recipients.
Once a second, its `SpoolSync` calls `syncfs`, which writes all spools together to the disk. Each
call has a `CallSpools`, which numbers the spools of the call.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from galwad.settings import Settings
from recording.age.file import Recipient, encrypt_small
from recording.errors import KeyFileError, RecordingError, SpoolWriteError, has_failed
from recording.files.disk import WatchedDisk
from recording.keys.keyring import RecipientsFile, load_or_create_boot_key
from recording.policy import RecordingStatus
from recording.recorder import Recorder
from recording.spool import Clock, SpoolSync, SpoolWriter
from recording.spool.sync import tick_for

log = structlog.get_logger()


class SpoolFactory:
    """Opens the spools of all live calls."""

    def __init__(self, settings: Settings) -> None:
        self.folder, self._spare = settings.spool_folders
        self._keys = settings.node.runtime / "spool-keys"
        for folder in (self.folder, self._keys):
            folder.mkdir(mode=0o770, parents=True, exist_ok=True)
        # If this folder cannot be created, there is no spare disk.
        with contextlib.suppress(OSError):
            self._spare.mkdir(mode=0o770, exist_ok=True)
        self.key_fault: str | None = None
        """The reason why the boot key on the disk could not be read.

        None if the key was read, or if the settings say that the boot key is only in memory.
        """
        self._boot_key = self._load_key(*settings.boot_keys[:2])
        self._recording = settings.recording
        self._recipients_file = RecipientsFile(
            settings.recipients,
            settings.newest_recipients("switch"),
            settings.recording.officer_key,
        )
        self.fault: str | None = None
        """The reason why there are no valid recipients for recordings.

        It is None if the most recent check found valid recipients, or if there was no check yet.
        """
        self.disk_fault: str | None = None
        """The error of the first disk, if the most recent `open` used the spare disk because of it.

        It is None if the most recent `open` used the first disk, or if no spool was opened yet.
        """
        self.sync = SpoolSync(self.folder)
        self._disks = {folder: WatchedDisk() for folder in settings.spool_folders}

    def _load_key(self, first: Path, second: Path) -> bytes:
        """Return the boot key in the file `first`. It encrypts the keys of new spools.

        If `first` is on the disk and cannot be read, return the boot key in `second`, which is in
        memory, so that calls are still recorded. Raises `KeyFileError` if the key in memory fails.
        """
        try:
            return load_or_create_boot_key(first)
        except KeyFileError as error:
            if first.parent != self.folder:
                raise
            self.key_fault = str(error)
            return load_or_create_boot_key(second)

    def recipients(self) -> list[Recipient] | None:
        """Return the recipients for the next spool. After an error, set `fault` and return None."""
        try:
            found = self._recipients_file.load().recipients.recipients
        except (RecordingError, OSError) as error:
            self.fault = str(error)
            return None
        self.fault = None
        return found

    def next_life(self, call_id: str, lives: int) -> int:
        """Return the first life number above `lives` for which there is no spool of the call.

        If a disk does not respond, its files are ignored.
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
        """Return a recorder for one call, which opens each of its spools with `open_spool`.

        If the first disk fails and there is a spare disk, the recorder uses `open_on_other_disk`.
        """
        return Recorder(
            open_spool,
            started,
            tick_s=tick_for(self._recording.lookback),
            erase_back_s=self._recording.erase_back,
            quarantine_s=self._recording.quarantine,
            on_change=on_change,
            sync=self.sync,
            open_on_other_disk=open_on_other_disk,
            has_other_disk=self._has_spare,
        )

    def erased_us(self, took_s: float) -> int:
        """Return how much audio a pause certainly erases, in µs.

        `took_s` is how long the request took, in seconds. One second of the lookback is not
        promised, because a busy switch may erase less.
        """
        certain_s = max(0.0, self._recording.lookback - 1.0)
        back_s = self._recording.erase_back
        return int(min(certain_s, took_s + back_s) * 1_000_000) if back_s else 0

    def open(self, call_id: str, life: int, started: Clock) -> SpoolWriter:
        """Open a call's spool with this life (from 1), on the spare disk if the first has failed.

        A disk that is only full has not failed. The errors are those of `SpoolWriter.create`.
        """
        try:
            writer = self._make(self.folder, call_id, life, started)
        except SpoolWriteError as error:
            if not has_failed(error) or not self._has_spare():
                raise
            self.disk_fault = f"{self.folder}: {_reason(error)}"
            return self._make(self._spare, call_id, life, started)
        self.disk_fault = None
        return writer

    def open_spare(self, call_id: str, life: int, started: Clock) -> SpoolWriter:
        """Open a spool on the spare disk, with the errors of `SpoolWriter.create`."""
        return self._make(self._spare, call_id, life, started)

    def _has_spare(self) -> bool:
        """Return whether the spare folder is on another disk, or the first disk has failed."""
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
    """The spools of one call, with their life numbers, from 1.

    Each process that continues the call begins a new spool. When the recording moves to the spare
    disk, it also begins a new spool.
    """

    def __init__(self, factory: SpoolFactory, call_id: str) -> None:
        self.lives = 0
        """The life number of the call's most recent spool; 0 before the first spool."""
        self._factory = factory
        self._call_id = call_id
        self._opened = False
        self._is_new = True
        """True if there can be no spool of the call yet."""

    def follow(self, lives: int = 0) -> None:
        """Continue after an earlier process, which may have made more spools than `lives`."""
        self.lives, self._is_new = lives, False

    def recorder(self, started: Clock, on_change: Callable[[RecordingStatus], None]) -> Recorder:
        """Return a recorder for the call."""
        return self._factory.recorder(
            partial(self._open, self._factory.open, started),
            partial(self._open, self._factory.open_spare, started),
            started,
            on_change,
        )

    def _open(self, make: Callable[[str, int, Clock], SpoolWriter], started: Clock) -> SpoolWriter:
        life = 1 if self._is_new else self._factory.next_life(self._call_id, self.lives)
        self._is_new = False
        writer = make(self._call_id, life, started)
        if self._opened:
            log.warning("recording.moved", call_id=self._call_id, spool=life)
        self._opened = True
        self.lives = life
        return writer


def _reason(error: SpoolWriteError) -> str:
    """Return the disk's error without the call's file name, so that a fault is reported once."""
    cause = error.__cause__
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)
