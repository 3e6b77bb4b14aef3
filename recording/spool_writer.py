"""Writes the spool of one call."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from recording.spool_records import Clock, Field


class SpoolWriter:
    """An append-only file for one call and process life. Not thread-safe, but for `sync_job`.

    Every method that writes raises `SpoolWriteError` when the disk refuses; the spool stays
    usable, and the next write that succeeds leaves a file that a reader can follow.
    """

    @classmethod
    def create(
        cls,
        folder: Path,
        runtime_keys_folder: Path,
        call_id: str,
        life: int,
        boot_key: bytes,
        recipients_wrap: Callable[[bytes], bytes] | None,
        started: Clock,
        lookback_s: float = 5.0,
    ) -> Self:
        """Make `folder/CALL_ID.LIFE.spool`, locked, with its header written."""
        raise NotImplementedError

    path: Path

    def packet(self, track: int, at_us: int, data: bytes) -> None:
        """Keep one packet in the open frame. The hot path: no system call."""
        raise NotImplementedError

    def event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Seal the open frame, then append an event: what is read comes in this order."""
        raise NotImplementedError

    def flush_frame(self) -> None:
        """Seal the open frame and hand it to the kernel."""
        raise NotImplementedError

    def release_due(self, now_us: int) -> None:
        """Publish the keys of frames that ended `lookback` or longer before `now_us`."""
        raise NotImplementedError

    def tick(self, now_us: int) -> None:
        """`flush_frame` and `release_due` in one write. To be called at least once a second."""
        raise NotImplementedError

    @property
    def erasable_from_us(self) -> int:
        """The earliest offset that `erase_back_to` can still reach."""
        raise NotImplementedError

    def erase_back_to(self, at_us: int) -> None:
        """Make every packet with offset >= `at_us` unreadable, as far as keys are unpublished."""
        raise NotImplementedError

    def sync(self) -> None:
        """Block until what was written is on the disk (`fdatasync`). Raises `SpoolSyncError`."""
        raise NotImplementedError

    def sync_job(self) -> Callable[[], None]:
        """What `sync` does, to be run in a thread; safe against a `close` meanwhile."""
        raise NotImplementedError

    def close(self, at_us: int) -> None:
        """Publish every key left, append END, unlock. Closing again does nothing."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Let go of the file as it is, without END: the recording reads as interrupted."""
        raise NotImplementedError
