"""Reads a spool that no process writes any more; the spool may be incomplete or damaged.

`SpoolReader` reads the file twice: first it collects the published frame keys and the indices of
the erased frames, then it yields the records. If indices are missing between two frames that can be
decrypted, the frames with the missing indices are reported as lost.
"""

import fcntl
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import msgspec

from recording.errors import SpoolError, SpoolHeaderError, SpoolKeyError
from recording.spool.format import (
    EndRecord,
    EventRecord,
    FrameCipher,
    FrameKind,
    LossReason,
    LostRecord,
    PublishedKeys,
    Record,
    SpoolFrame,
    SpoolHeader,
    Tombstone,
    unpack_event,
    unpack_packets,
)
from recording.spool.keys import (
    index_salt,
    key_check,
    keys_path,
    load_keys,
    shred_keys,
    unwrap_spool_key,
)
from recording.spool.scanner import Scanner, find_header, frame_at

RECENT = 16
"""The number of recent media frames whose positions in the file are remembered.

A tombstone directly follows the replacement frames that it lists, so 16 are enough to find them.
"""
_UNPUBLISHED_US: Final = 120_000_000
"""An upper limit in µs for the time from a packet's arrival until its frame's key is in the file.

The lookback is at most one minute; the second minute is a margin.
"""
Batcher = Callable[[int, bytes], object | None]
"""Combines all packets of a media frame into one value, or returns None to have them one by one.

It gets the arrival of the earliest packet (µs since the spool's start) and the plaintext.
"""
_Records = Iterator[object]
_release = msgspec.msgpack.Decoder(PublishedKeys)
_tombstone = msgspec.msgpack.Decoder(Tombstone)


def read_header(path: Path) -> SpoolHeader:
    """Return the file header of a spool; no key is needed. Raises `SpoolHeaderError`."""
    fd = _open(path)
    try:
        return find_header(fd, path.name)[0]
    finally:
        os.close(fd)


def is_live(path: Path) -> bool:
    """Return True if the file is locked: a process writes it, or needs it to copy other spools."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def remove_spool(path: Path, runtime_keys_folder: Path | None = None) -> None:
    """Remove the spool of an archived call, after its unpublished keys are overwritten.

    It is no error if the spool is removed already.
    """
    if runtime_keys_folder is not None:
        shred_keys(runtime_keys_folder / f"{path.name.removesuffix('.spool')}.keys")
    path.unlink(missing_ok=True)


def read_spool(
    path: Path,
    *,
    boot_key: bytes | None = None,
    spool_key: bytes | None = None,
    runtime_keys_folder: Path | None = None,
) -> "SpoolReader":
    """Open a spool with the spool key, or with the boot key that decrypts this key in the header.

    `runtime_keys_folder` has the frame keys that were not published when the writing process ended.
    If it is None, the frames of these keys cannot be read. Raises `SpoolHeaderError` without a
    readable header, `SpoolKeyError` without the right key, and `OSError`.
    """
    reader = SpoolReader.open(path, boot_key, spool_key)
    if runtime_keys_folder is not None:
        reader.add_keys_of(runtime_keys_folder)
    return reader


class SpoolReader(Iterator[Record]):
    """Yields the records of one spool, in the sequence in which they were written.

    The attributes except `header` and `index_salt` are final only after all records were read.
    `index_salt` is the salt for the commitments in the manifest, if this is the call's first spool.
    `interrupted` means that there is no END frame, because the writer's process ended early or the
    disk failed. `truncated` means that the file ends inside a frame or in bytes that were never
    written. `damaged` means that other bytes are not as they were written, even if all records
    could be read. `last_us` is the latest time in the frames so far, in µs since the spool's start.
    """

    @classmethod
    def open(cls, path: Path, boot_key: bytes | None, spool_key: bytes | None = None) -> Self:
        """Open a spool with its own key, if given, or a boot key. Raises as `read_spool`."""
        fd = _open(path)
        try:
            header, identity, start, whole = find_header(fd, path.name)
            if spool_key is None:
                if boot_key is None:
                    raise SpoolKeyError("a boot key or the spool key is needed to read a spool")
                spool_key = unwrap_spool_key(header.boot_wrapped, boot_key, header.spool_id)
            if len(spool_key) != 32 or key_check(spool_key) != header.key_check:
                raise SpoolKeyError("this is not the key of this spool")
        except (SpoolError, OSError):
            os.close(fd)
            raise
        reader = cls(fd, header, FrameCipher(spool_key, identity), start)
        reader.index_salt = index_salt(spool_key, header.spool_id)
        reader.damaged = not whole
        return reader

    def __init__(self, fd: int, header: SpoolHeader, seal: FrameCipher, start: int) -> None:
        """Set up a reader; other modules call `open`."""
        self.header = header
        self.index_salt = b""
        self.interrupted = True
        self.truncated = False
        self.damaged = False
        self.last_us = 0
        self._fd = fd
        self._cipher = seal
        self._start = start
        self._end = os.fstat(fd).st_size
        self._keys: dict[int, bytes] = {}
        self._erased: set[int] = set()
        self._replacement_of: dict[int, tuple[int, int, int]] = {}
        """The replacement frame of an erased frame, by the index of the erased frame.

        The value has the replacement's index, its position in the file (-1 if it was not found) and
        a time in µs since the spool's start. All its packets arrived before this time.
        """
        self._replacements: set[int] = set()
        self._next_index = 1
        self._without_key: deque[tuple[int, int, int]] = deque(maxlen=256)
        self._batch: Batcher | None = None
        self._last_event: EventRecord | None = None
        self._records = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        return cast("Record", next(self._records))

    def batched(self, batch: Batcher) -> Iterator[object]:
        """Yield the records. A value that `batch` returns takes the place of a frame's packets."""
        self._batch = batch
        return self._records

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The end of the iteration closes it too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()

    @property
    def last_index(self) -> int:
        """The highest index of a frame that was read or reported as lost; 0 if there is none."""
        return self._next_index - 1

    def add_keys_of(self, runtime_keys_folder: Path) -> None:
        """Add the frame keys in the runtime folder, which were not yet published."""
        path = keys_path(runtime_keys_folder, self.header.call_id, self.header.life)
        self._keys.update(load_keys(path, self._cipher.identity))

    def _read(self) -> _Records:
        self._collect()
        scanner = Scanner(self._fd, self._start, self._end)
        for frame in scanner:
            records = None if frame.index < self._next_index else self._records_of(frame)
            if records is None:
                scanner.reject()
                continue
            yield from records
            if not self.interrupted:
                break
        self.damaged = self.damaged or scanner.damaged
        if self.interrupted:
            self.truncated = scanner.truncated
            self.damaged = self.damaged or (scanner.has_garbage and not scanner.truncated)
            yield from self._losses_at_end(scanner)
        elif scanner.has_garbage or scanner.offset + frame.size < self._end:
            self.damaged = True
        self.close()

    def _collect(self) -> None:
        recent: dict[int, int] = {}
        scanner = Scanner(self._fd, self._start, self._end)
        for frame in scanner:
            if frame.kind is FrameKind.MEDIA:
                recent[frame.index] = scanner.offset
                if len(recent) > RECENT:
                    del recent[next(iter(recent))]
            elif not self._learn(frame, recent):
                scanner.reject()
        for index in self._erased:
            self._keys.pop(index, None)

    def _learn(self, frame: SpoolFrame, recent: dict[int, int]) -> bool:
        plaintext = self._cipher.open(frame)
        if plaintext is None:
            return False
        try:
            if frame.kind is FrameKind.RELEASE:
                self._keys.update(_release.decode(plaintext).keys)
            elif frame.kind is FrameKind.TOMBSTONE:
                self._note_tombstone(_tombstone.decode(plaintext), recent)
        except msgspec.DecodeError:
            return False
        return True

    def _note_tombstone(self, tombstone: Tombstone, recent: dict[int, int]) -> None:
        self._erased.update(tombstone.erased)
        for old, new in tombstone.replaced:
            if new > old:
                self._replacement_of[old] = (new, recent.get(new, -1), tombstone.from_us)
            if new in recent:
                self._replacements.add(new)

    def _records_of(self, frame: SpoolFrame) -> _Records | None:
        """Return a frame's records; None if we know the key but cannot decode the frame.

        A media frame without a known key has no records. `_losses_before` later yields its
        `LostRecord`.
        """
        if frame.kind is FrameKind.MEDIA:
            return self._media(frame)
        plaintext = self._cipher.open(frame)
        if plaintext is None:
            return None
        if frame.kind is FrameKind.EVENT:
            event = unpack_event(frame.from_us, plaintext)
            if event is None:
                return None
            again = event == self._last_event
            self._last_event = event
            return self._with_losses(frame, [] if again else [event])
        if frame.kind is FrameKind.END:
            self.interrupted = False
            return self._with_losses(frame, [EndRecord(frame.from_us)])
        return self._with_losses(frame, [])

    def _media(self, frame: SpoolFrame) -> _Records | None:
        if frame.index in self._replacements:
            self._skip_replacements(frame.index + 1)
            return iter(())
        if frame.index in self._erased:
            return self._with_losses(frame, self._records_of_erased(frame))
        records = self._packets(frame)
        if records is not None:
            return self._with_losses(frame, records)
        if frame.index in self._keys:
            return None
        self._without_key.append((frame.index, frame.from_us, frame.to_us))
        return iter(())

    def _packets(self, frame: SpoolFrame) -> Sequence[object] | None:
        key = self._keys.get(frame.index)
        if key is None or len(key) != 32:
            return None
        plaintext = self._cipher.open(frame, key)
        if plaintext is None:
            return None
        all_at_once = self._batch(frame.from_us, plaintext) if self._batch else None
        return unpack_packets(frame.from_us, plaintext) if all_at_once is None else [all_at_once]

    def _records_of_erased(self, frame: SpoolFrame) -> Sequence[object]:
        """Return the packets of an erased frame that were not erased, then a `LostRecord`.

        The packets were copied to another frame before the erasure. If the copy cannot be read, a
        `LostRecord` stands for them.
        """
        kept: Sequence[object] = ()
        from_us, index = frame.from_us, frame.index
        while index in self._replacement_of:
            index, offset, until_us = self._replacement_of[index]
            replacement = frame_at(self._fd, offset, self._end) if offset >= 0 else None
            packets = (
                self._packets(replacement) if replacement and replacement.index == index else None
            )
            if replacement and packets is not None:
                kept, from_us = packets, replacement.to_us + 1
                break
            if index not in self._erased:
                why = LossReason.UNRELEASED if replacement else LossReason.DAMAGED
                from_us = min(max(until_us, frame.from_us), frame.to_us)
                kept = [LostRecord(frame.index, frame.index, frame.from_us, from_us, why)]
                break
        lost = LostRecord(frame.index, frame.index, from_us, frame.to_us, LossReason.ERASED)
        return [*kept, lost]

    def _with_losses(self, frame: SpoolFrame, records: Sequence[object]) -> _Records:
        yield from self._losses_before(frame.index, frame.from_us)
        self._next_index = frame.index + 1
        self.last_us = max(self.last_us, frame.to_us)
        yield from records

    def _losses_before(self, before: int, until_us: int | None) -> _Records:
        """Yield a `LostRecord` for each loss between the previous and the next readable frame.

        Consecutive missing frames are one loss; each frame without a key is a loss of its own. A
        frame without a key may be forged, so the times of a loss are limited to those between the
        readable frames. At the file's end, `before` is one more than the last index, `until_us` is
        None, and the limit is `_UNPUBLISHED_US` after the last readable frame.
        """
        limit = self.last_us + _UNPUBLISHED_US if until_us is None else until_us
        waiting = [entry for entry in self._without_key if entry[0] < before]
        self._without_key.clear()
        for index, first, last in waiting:
            self._skip_replacements(index)
            if index < self._next_index:
                continue
            from_us = max(min(first, limit), self.last_us)
            to_us = max(min(last, limit), from_us)
            if index > self._next_index:
                yield self._loss(index, from_us)
            self._next_index = index + 1
            self.last_us = to_us
            yield LostRecord(index, index, from_us, to_us, LossReason.UNRELEASED)
        self._skip_replacements(before)
        if before > self._next_index:
            yield self._loss(before, until_us)

    def _skip_replacements(self, before: int) -> None:
        """Skip the indices of replacement frames below `before`, which are not lost.

        If other frames were lost directly before a replacement frame, its packets are older than
        the lost ones, and do not show when the loss ends. The loss ends at the next frame that is
        not a replacement frame.
        """
        while self._next_index < before and self._next_index in self._replacements:
            self._next_index += 1

    def _loss(self, before: int, until_us: int | None) -> LostRecord:
        until = None if until_us is None else max(until_us, self.last_us)
        return LostRecord(self._next_index, before - 1, self.last_us, until, LossReason.DAMAGED)

    def _losses_at_end(self, scanner: Scanner) -> _Records:
        last = max((index for index, _, _ in self._without_key), default=self._next_index - 1)
        why = LossReason.TRUNCATED if scanner.truncated else LossReason.DAMAGED
        if self._next_index == 1 and (last or scanner.has_garbage):
            # No frame could be decrypted, so the file header may be from another file, and the
            # times in the frames wrong.
            yield LostRecord(1, max(1, last), None, None, why)
            return
        yield from self._losses_before(last + 1, None)
        self._next_index = max(self._next_index, last + 1)
        if scanner.has_garbage:
            yield LostRecord(self._next_index, self._next_index, self.last_us, None, why)


def _open(path: Path) -> int:
    """Return a descriptor of a regular file; for another kind of file, raise `SpoolHeaderError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SpoolHeaderError(f"{path.name} is not a regular file")
    return fd
