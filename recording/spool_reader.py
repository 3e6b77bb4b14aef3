"""Reads a spool back, whatever happened to it.

Two passes: the first collects the keys that were published and what was erased, the second gives
the records. Memory does not grow with the file but for these keys. A frame counts when it
authenticates under the spool key or a published key; what lies between two frames that count is
reported as lost.
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
from recording.spool_format import (
    Frame,
    FrameKind,
    Release,
    Seal,
    Tombstone,
    unpack_event,
    unpack_packets,
)
from recording.spool_keys import key_check, keys_path, load_keys, shred_keys, unwrap_spool_key
from recording.spool_records import (
    EndRecord,
    EventRecord,
    LossReason,
    LostRecord,
    Record,
    SpoolHeader,
)
from recording.spool_scan import Scanner, find_header, frame_at

RECENT = 16
"""A stand-in lies right before its tombstone; this many media frames are remembered."""
_UNPUBLISHED_US: Final = 120_000_000
"""No key waits longer: a lookback is a minute at most."""
Gather = Callable[[int, bytes], object | None]
"""From a media frame's start and content to one value for all its packets, or None."""
_Records = Iterator[object]
_release = msgspec.msgpack.Decoder(Release)
_tombstone = msgspec.msgpack.Decoder(Tombstone)


def read_header(path: Path) -> SpoolHeader:
    """The header alone, which needs no key. Raises `SpoolHeaderError`."""
    fd = _open(path)
    try:
        return find_header(fd, path.name)[0]
    finally:
        os.close(fd)


def is_live(path: Path) -> bool:
    """Whether a writer holds this spool open."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def remove_spool(path: Path, runtime_keys_folder: Path | None = None) -> None:
    """Unlink a spool that is archived, its unpublished keys overwritten first. Idempotent."""
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
    """Open a spool for reading. Raises `SpoolHeaderError`, `SpoolKeyError`."""
    reader = SpoolReader.open(path, boot_key, spool_key)
    if runtime_keys_folder is not None:
        reader.add_keys_of(runtime_keys_folder)
    return reader


class SpoolReader(Iterator[Record]):
    """The records of one spool, in order. After the last one its findings are complete.

    Attributes:
        header: what the file says of itself.
        interrupted: no END was found (the writer died).
        truncated: the file stops inside a frame.
        damaged: something in the file was changed, if only a spare copy of the header.
        last_us: the offset of the last thing that is known to have happened.
    """

    @classmethod
    def open(cls, path: Path, boot_key: bytes | None, spool_key: bytes | None = None) -> Self:
        """Open a spool with one of these keys. Raises `SpoolHeaderError`, `SpoolKeyError`."""
        fd = _open(path)
        try:
            header, identity, start, whole = find_header(fd, path.name)
            if spool_key is None:
                if boot_key is None:
                    raise SpoolKeyError("a boot key or the spool key is needed to read a spool")
                spool_key = unwrap_spool_key(header.boot_wrapped, boot_key, header.spool_id)
            if len(spool_key) != 32 or key_check(spool_key) != header.key_check:
                raise SpoolKeyError("this is not the key of this spool")
        except SpoolError:
            os.close(fd)
            raise
        reader = cls(fd, header, Seal(spool_key, identity), start)
        reader.damaged = not whole
        return reader

    def __init__(self, fd: int, header: SpoolHeader, seal: Seal, start: int) -> None:
        """Use `open`, or `read_spool`."""
        self.header = header
        self.interrupted = True
        self.truncated = False
        self.damaged = False
        self.last_us = 0
        self._fd = fd
        self._seal = seal
        self._start = start
        self._end = os.fstat(fd).st_size
        self._keys: dict[int, bytes] = {}
        self._erased: set[int] = set()
        self._stands_for: dict[int, tuple[int, int, int]] = {}
        """By an erased frame: its stand-in, where that lies (-1: nowhere), and until when it is."""
        self._stand_ins: set[int] = set()
        self._next_index = 1
        self._keyless: deque[tuple[int, int, int]] = deque(maxlen=256)
        self._gather: Gather | None = None
        self._last_event: EventRecord | None = None
        self._records = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        return cast("Record", next(self._records))

    def gathered(self, gather: Gather) -> Iterator[object]:
        """The records, but for a frame's packets what `gather` makes of them, where it does."""
        self._gather = gather
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
        """Let go of the file. Reading to the end does it too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()

    @property
    def last_index(self) -> int:
        """The number of the last frame that is known to have been written; 0: of none."""
        return self._next_index - 1

    def add_keys_of(self, runtime_keys_folder: Path) -> None:
        """Take the keys of frames that were never published, where a dead writer left them."""
        path = keys_path(runtime_keys_folder, self.header.call_id, self.header.life)
        self._keys.update(load_keys(path, self._seal.identity))

    def _read(self) -> _Records:
        """Second pass."""
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
            self.truncated = scanner.torn
            self.damaged = self.damaged or (scanner.rubble and not scanner.torn)
            yield from self._tail(scanner)
        elif scanner.rubble or scanner.offset + frame.size < self._end:
            self.damaged = True
        self.close()

    def _collect(self) -> None:
        """First pass: published keys, tombstones, and where stand-ins lie."""
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

    def _learn(self, frame: Frame, recent: dict[int, int]) -> bool:
        plaintext = self._seal.open(frame)
        if plaintext is None:
            return False
        try:
            if frame.kind is FrameKind.RELEASE:
                self._keys.update(_release.decode(plaintext).keys)
            elif frame.kind is FrameKind.TOMBSTONE:
                self._bury(_tombstone.decode(plaintext), recent)
        except msgspec.DecodeError:
            return False
        return True

    def _bury(self, stone: Tombstone, recent: dict[int, int]) -> None:
        self._erased.update(stone.erased)
        for old, new in stone.replaced:
            if new > old:
                self._stands_for[old] = (new, recent.get(new, -1), stone.from_us)
            if new in recent:
                self._stand_ins.add(new)

    def _records_of(self, frame: Frame) -> _Records | None:
        """What a frame says; None if it is none of ours."""
        if frame.kind is FrameKind.MEDIA:
            return self._media(frame)
        plaintext = self._seal.open(frame)
        if plaintext is None:
            return None
        if frame.kind is FrameKind.EVENT:
            event = unpack_event(frame.from_us, plaintext)
            if event is None:
                return None
            again = event == self._last_event
            self._last_event = event
            return self._counted(frame, [] if again else [event])
        if frame.kind is FrameKind.END:
            self.interrupted = False
            return self._counted(frame, [EndRecord(frame.from_us)])
        return self._counted(frame, [])

    def _media(self, frame: Frame) -> _Records | None:
        if frame.index in self._stand_ins:
            self._pass_over_stand_ins(frame.index + 1)
            return iter(())
        if frame.index in self._erased:
            return self._counted(frame, self._instead_of(frame))
        records = self._packets(frame)
        if records is not None:
            return self._counted(frame, records)
        if frame.index in self._keys:
            return None
        self._keyless.append((frame.index, frame.from_us, frame.to_us))
        return iter(())

    def _packets(self, frame: Frame) -> Sequence[object] | None:
        key = self._keys.get(frame.index)
        if key is None or len(key) != 32:
            return None
        plaintext = self._seal.open(frame, key)
        if plaintext is None:
            return None
        all_at_once = self._gather(frame.from_us, plaintext) if self._gather else None
        return unpack_packets(frame.from_us, plaintext) if all_at_once is None else [all_at_once]

    def _instead_of(self, frame: Frame) -> Sequence[object]:
        """What stands for an erased frame: the part before the trigger, or nothing."""
        kept: Sequence[object] = ()
        from_us, index = frame.from_us, frame.index
        while index in self._stands_for:
            index, offset, until_us = self._stands_for[index]
            stand_in = frame_at(self._fd, offset, self._end) if offset >= 0 else None
            packets = self._packets(stand_in) if stand_in and stand_in.index == index else None
            if stand_in and packets is not None:
                kept, from_us = packets, stand_in.to_us + 1
                break
            if index not in self._erased:
                why = LossReason.UNRELEASED if stand_in else LossReason.DAMAGED
                from_us = min(max(until_us, frame.from_us), frame.to_us)
                kept = [LostRecord(frame.index, frame.index, frame.from_us, from_us, why)]
                break
        lost = LostRecord(frame.index, frame.index, from_us, frame.to_us, LossReason.ERASED)
        return [*kept, lost]

    def _counted(self, frame: Frame, records: Sequence[object]) -> _Records:
        """What is missing before `frame`, then what is in it."""
        yield from self._missing(frame.index, frame.from_us)
        self._next_index = frame.index + 1
        self.last_us = max(self.last_us, frame.to_us)
        yield from records

    def _missing(self, before: int, until_us: int | None) -> _Records:
        """Account for the indices from the last frame that counted up to `before`.

        Frames without a key have shown a right CRC and no more, so their times are believed
        only between those of the frames that count, or soon after the last of them.
        """
        limit = self.last_us + _UNPUBLISHED_US if until_us is None else until_us
        waiting = [entry for entry in self._keyless if entry[0] < before]
        self._keyless.clear()
        for index, first, last in waiting:
            self._pass_over_stand_ins(index)
            if index < self._next_index:
                continue
            from_us = max(min(first, limit), self.last_us)
            to_us = max(min(last, limit), from_us)
            if index > self._next_index:
                yield self._hole(index, from_us)
            self._next_index = index + 1
            self.last_us = to_us
            yield LostRecord(index, index, from_us, to_us, LossReason.UNRELEASED)
        self._pass_over_stand_ins(before)
        if before > self._next_index:
            yield self._hole(before, until_us)

    def _pass_over_stand_ins(self, before: int) -> None:
        """They are there; what is missing before them lasts until what comes after them."""
        while self._next_index < before and self._next_index in self._stand_ins:
            self._next_index += 1

    def _hole(self, before: int, until_us: int | None) -> LostRecord:
        until = None if until_us is None else max(until_us, self.last_us)
        return LostRecord(self._next_index, before - 1, self.last_us, until, LossReason.DAMAGED)

    def _tail(self, scanner: Scanner) -> _Records:
        """The end of a file without END."""
        last = max((index for index, _, _ in self._keyless), default=self._next_index - 1)
        why = LossReason.TRUNCATED if scanner.torn else LossReason.DAMAGED
        if self._next_index == 1 and (last or scanner.rubble):
            # nothing shows that its header, and so its start, is its own
            yield LostRecord(1, max(1, last), None, None, why)
            return
        yield from self._missing(last + 1, None)
        self._next_index = max(self._next_index, last + 1)
        if scanner.rubble:
            yield LostRecord(self._next_index, self._next_index, self.last_us, None, why)


def _open(path: Path) -> int:
    """Open what may be no spool at all, without waiting for whoever writes to a pipe.

    Raises `SpoolHeaderError`, `OSError`.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SpoolHeaderError(f"{path.name} is no file")
    return fd
