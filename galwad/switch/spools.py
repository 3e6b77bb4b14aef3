"""The places of the switch's spools, and the keys and recipients needed to open them.

Each process has one `SpoolFactory`. It holds the boot key, the archive's recipients, and the one
`syncfs` a second for all spools.
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
    """Return a new id `YYYYMMDD-HHMMSS-xxxxxxxx`: sortable, unique, not personal.

    `wall` is the call's start in Unix seconds; the id has it in UTC.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(wall))
    return f"{stamp}-{base64.b32encode(secrets.token_bytes(5)).decode().lower()}"


class SpoolFactory:
    """Opens the spools of live calls."""

    def __init__(self, settings: Settings) -> None:
        self.folder, self._spare = settings.spool_folders
        self._keys = settings.node.runtime / "spool-keys"
        for folder in (self.folder, self._keys):
            folder.mkdir(mode=0o770, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # if it cannot be made, there is no spare disk
            self._spare.mkdir(mode=0o770, exist_ok=True)
        self.key_fault: str | None = None
        """The reason why the key that the disk stores could not be read.

        None if it was read, or if the key is kept in memory.
        """
        self._boot_key = self._load_key(*settings.boot_keys[:2])
        self._recording = settings.recording
        self._recipients_path = settings.recipients
        self._verified: tuple[bytes, list[Recipient]] | None = None
        self.fault: str | None = None
        """The reason why no recipient could open a recording, when last checked; else None."""
        self.disk_fault: str | None = None
        """The reason why the last new call began on the spare disk; None: it did not."""
        self.sync = SpoolSync(self.folder)
        self._disks = {folder: WatchedDisk() for folder in settings.spool_folders}

    def _load_key(self, first: Path, second: Path) -> bytes:
        """Return the key for new spools; if the disk cannot give it, the key in memory.

        Calls must be recorded even then.
        """
        try:
            return load_or_create_boot_key(first)
        except KeyFileError as error:
            if first.parent != self.folder:
                raise
            self.key_fault = str(error)
            return load_or_create_boot_key(second)

    def recipients(self) -> list[Recipient] | None:
        """Return the recipients for the next spool; on failure, set `fault` and return None."""
        try:
            found = self._load_recipients()
        except (RecordingError, OSError) as error:
            self.fault = str(error)
            return None
        self.fault = None
        return found

    def _load_recipients(self) -> list[Recipient]:
        """Return the recipients; verify the officer's signature only when the file has changed."""
        try:
            data = self._recipients_path.read_bytes()
        except OSError:
            data = b""  # `load` reports the reason
        if self._verified is None or self._verified[0] != data:
            self._verified = None
            found = RecipientSet.load(self._recipients_path, self._recording.officer_key)
            self._verified = data, found.recipients
        return self._verified[1]

    def next_life(self, call_id: str, lives: int) -> int:
        """Return the number of a call's next spool, which is above `lives`.

        A process that died while it began a spool may not have counted it, so existing files are
        skipped. A file that a broken disk does not show counts as lost.
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
        """Return a recorder for one call; `open_spool` opens its next spool (with `open`).

        `open_on_other_disk` opens it on the spare disk, if there is one (with `open_spare`).
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
        """Open a call's spool number `life`, from 1; on the spare disk if the first one has failed.

        A disk that is merely full has not failed: then the error is raised, as by
        `SpoolWriter.create`.
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
        """Open the spool on the spare disk. Raises as `SpoolWriter.create` does."""
        return self._make(self._spare, call_id, life, started)

    @property
    def _has_spare(self) -> bool:
        """True if the spare folder is on another disk than the first, or the first is gone."""
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
    """The spools of one call, numbered by life.

    Each process that continues the call begins a new one, and so does a change of disk.
    """

    def __init__(self, factory: SpoolFactory, call_id: str) -> None:
        self.lives = 0
        """The number of spools of this call so far."""
        self._factory = factory
        self._call_id = call_id
        self._opened = False

    def recorder(self, started: Clock, on_change: Callable[[RecordingStatus], None]) -> Recorder:
        """Return the call's recorder, which opens the next spool, and others if disks fail."""
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
    """Return the disk's error without the call's name, so that it is the same for each call."""
    cause = error.__cause__
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)
