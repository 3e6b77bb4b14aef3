"""The writer of a call's spool.

Packets are collected in memory, in the open frame. About once a second the recorder calls `tick`,
which encrypts the open frame under a new key, writes it to the file, and publishes the keys of
frames that are older than the lookback. To *publish* a key means to write it into the file, in two
RELEASE frames, so that one of them may be damaged. If the disk refuses a frame, its packets are
lost, and the recording has a gap. If the spool's file is gone, the packets stay in memory.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

import msgspec

from recording.errors import SpoolClosedError, SpoolError, SpoolGoneError, SpoolWriteError
from recording.files.disk import DIRECT_DISK, Disk
from recording.spool.file import SpoolFile
from recording.spool.format import (
    CRC,
    FRAME_HEADER,
    Clock,
    End,
    Event,
    Field,
    FrameCipher,
    FrameKind,
    PublishedKeys,
    SpoolHeader,
    Tombstone,
    pack_event,
    pack_header,
    parse_frame,
)
from recording.spool.keys import KeySlots, key_check, keys_path, wrap_spool_key
from recording.spool.open_frame import OpenFrame, UnpublishedFrame, earlier_packets
from recording.spool.packet_counts import WrittenCounts, add_to

WRITTEN_TWICE = frozenset(
    {
        *("call", "caller", "answered", "media", "segment", "gap-start", "gap-end"),
        *("goes-on", "advisor", "packets", "ended"),
    }
)
"""The kinds of events that are written in two equal frames, one of which may be damaged.

What follows such an event cannot be understood without it.
"""
_LATE_US = 1_500_000
"""A frame is late if its latest packet is this old, in µs, at the first tick after its writing."""
_encode = msgspec.msgpack.encode


class SpoolWriter:
    """The writer of one spool file of a call. It only appends data to the file.

    All methods must be called in one thread. Only the thread of a hanging disk may also close the
    writer. Methods that write raise `SpoolWriteError`. After this error, the writer can still be
    used, and all data that is written later is readable.
    """

    @classmethod
    def create(  # noqa: PLR0917 - nine facts of one file; a class to carry them would say no more
        cls,
        folder: Path,
        runtime_keys_folder: Path,
        call_id: str,
        life: int,
        boot_key: bytes,
        recipients_wrap: Callable[[bytes], bytes] | None,
        started: Clock,
        lookback_s: float = 5.0,
        disk: Disk = DIRECT_DISK,
    ) -> Self:
        """Create and lock `folder/CALL_ID.LIFE.spool`, and write the file header.

        The file gets its name only after it is locked and the header is complete. `life` counts the
        call's spools from 1. During the call, a frame can be erased for at least `lookback_s` after
        its latest packet: its key is then only in `runtime_keys_folder` (a tmpfs).
        `recipients_wrap` returns the spool key as an age file for the archive's recipients; None if
        there are none. Offsets count from `started`.

        Raises:
            SpoolWriteError: The spool, or the file for its frame keys, cannot be created.
            SpoolHeaderError: The file header is too long, because there are too many recipients.
        """
        spool_key, spool_id = os.urandom(32), os.urandom(16)
        header = SpoolHeader(
            call_id=call_id,
            life=life,
            spool_id=spool_id,
            started_wall_us=int(started.wall * 1_000_000),
            lookback_us=int(lookback_s * 1_000_000),
            boot_wrapped=wrap_spool_key(spool_key, boot_key, spool_id),
            recipients_wrapped=b"" if recipients_wrap is None else recipients_wrap(spool_key),
            key_check=key_check(spool_key),
            started_mono_us=int(started.mono * 1_000_000),
        )
        block, identity = pack_header(header)
        path = folder / f"{call_id}.{life}.spool"
        try:
            slots = KeySlots(keys_path(runtime_keys_folder, call_id, life), identity)
            try:
                file = SpoolFile(path, block * 2, disk)
            except OSError:
                slots.close(unlink=True)
                raise
        except OSError as error:
            raise SpoolWriteError(f"cannot make {path.name}: {error.strerror or error}") from error
        return cls(file, slots, header, FrameCipher(spool_key, identity))

    def __init__(
        self, file: SpoolFile, slots: KeySlots, header: SpoolHeader, seal: FrameCipher
    ) -> None:
        """Set up the writer; other modules call `create`."""
        self.path = file.path
        self.header = header
        self.closed = False
        self.counts = WrittenCounts()
        """The packets given to the call's writers so far, except those in memory."""
        self._file = file
        self._slots = slots
        self._cipher = seal
        self._index = 0
        self._written = 0
        self._open = OpenFrame()
        self._unpublished: list[UnpublishedFrame] = []
        self._released_to_us = -1

    def packet(self, track: int, at_us: int, data: bytes | bytearray | memoryview) -> None:
        """Add a packet (shorter than 64 KiB) to the open frame; `at_us` is not negative.

        This runs for every packet, so it usually makes no system call. It writes the open frame
        first if this frame cannot take the packet (`OpenFrame.takes`).
        """
        if not self._open.takes(at_us):
            self.flush_frame()
        self._open.add(track, at_us, data)

    def event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Write the open frame and then an event, so that the event follows all earlier packets."""
        self.events([(kind, fields, at_us)])

    def events(self, events: Sequence[Event]) -> None:
        """Write the open frame, and then these events, in one write."""
        self._append(events)

    def flush_frame(self) -> None:
        """Write the open frame, if it contains packets."""
        if self._open.size:
            self._append()

    def tick(self, now_us: int, events: Sequence[Event] = ()) -> None:
        """Write the open frame, events, and the keys of frames older than the lookback.

        Call this at least once a second. There is at most one write. The path is checked first
        (`check_path`). If it does not lead to the file (`SpoolGoneError`), nothing is written, and
        the packets stay in memory. After any other error, the packets of the open frame are lost.
        """
        self._append(events, release_at=now_us)

    @property
    def last_index(self) -> int:
        """The index of the latest frame in the file; 0 if there is none yet."""
        return self._written

    @property
    def latest_us(self) -> int:
        """The offset (µs) of the latest packet that was added; 0 if there is none."""
        return self._open.last_us

    @property
    def pending(self) -> list[int]:
        """The number of packets on each track that are not written yet."""
        return self._open.packets

    @property
    def erasable_from_us(self) -> int:
        """The offset (µs) from which on `erase_back_to` can still erase every packet."""
        return self._released_to_us + 1

    def erase_back_to(self, at_us: int) -> None:
        """Make the packets unreadable that arrived at or after the offset `at_us`.

        A packet is not erased if the key of its frame is already in the file. Earlier packets of an
        erased frame are written again in a replacement frame, in one write with the tombstone (the
        list of erased frames). Then the keys of the erased frames are destroyed, even if the write
        failed. Raises `SpoolWriteError` if the write failed, or a key in the runtime folder could
        not be overwritten.
        """
        add_to(self.counts.erased, self._open.packets)
        self._open.forget_from(at_us)
        add_to(self.counts.erased, self._open.packets, -1)
        erased = [f for f in self._unpublished if not f.published and f.span[1] >= at_us]
        if not erased:
            return
        self._unpublished = [f for f in self._unpublished if f not in erased]
        try:
            self._write_tombstone(erased, at_us)
        finally:
            remaining = [frame.index for frame in erased if not self._forget(frame)]
        if remaining:
            raise SpoolWriteError(
                f"{self.path.name}: the keys of frames {remaining} were not destroyed"
            )

    def _write_tombstone(self, erased: list[UnpublishedFrame], at_us: int) -> None:
        """Write the replacement frames with packets from before `at_us`, then two tombstones."""
        saved = {f.index: self._packets_before(f, at_us) for f in erased if f.span[0] < at_us}
        lost_from = min((kept.first_us for kept in saved.values() if kept.size), default=None)
        for frame in erased:
            add_to(self.counts.written, frame.packets, -1)
            add_to(self.counts.erased, frame.packets)
        for kept in saved.values():
            add_to(self.counts.erased, kept.packets, -1)
        try:
            blocks, sealed, replaced = self._reseal(saved)
        except OSError as error:
            for kept in saved.values():
                add_to(self.counts.failed, kept.packets)
            raise SpoolWriteError(f"{self.path.name}: {error}", lost_from) from error
        finally:
            for kept in saved.values():
                kept.clear()
        tombstone = _encode(Tombstone(at_us, [f.index for f in erased], replaced))
        for _ in range(2):
            blocks.append(self._frame(FrameKind.TOMBSTONE, (max(0, at_us),) * 2, tombstone))
        self._write(blocks, media=sealed, lost_from=lost_from)

    def check_path(self) -> None:
        """Check that the spool's path still leads to this file.

        Without this check, writes would still succeed after the disk was unmounted. Raises
        `SpoolGoneError` if the path leads to no file or to another file, or cannot be read, and
        `SpoolWriteError` if the disk hangs.
        """
        try:
            self._file.check_path()
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error

    @property
    def free_bytes(self) -> int:
        """The number of free bytes that the disk reports; 0 if the spool is closed."""
        return 0 if self.closed else self._file.free_bytes

    def sync_job(self) -> Callable[[], None]:
        """Return a function that syncs all written data. It blocks: run it in another thread.

        The function raises `SpoolSyncError`. The spool may be closed before or while it runs. If
        the spool is closed already, this method raises `SpoolClosedError`.
        """
        if self.closed:
            raise SpoolClosedError(self.path.name)
        return self._file.sync_job()

    @property
    def is_hanging(self) -> bool:
        """True while the disk is treated as hanging (see `WatchedDisk`)."""
        return self._file.is_hanging

    def run_when_disk_recovers(self, job: Callable[[], None]) -> None:
        """Run `job` in the thread of a `WatchedDisk`. While the disk hangs, `job` waits."""
        self._file.run_later(job)

    @property
    def threads(self) -> Executor | None:
        """The executor for a `sync_job`; None for the event loop's default executor."""
        return self._file.threads

    def close(self, at_us: int, events: Sequence[Event] = ()) -> None:
        """Write the open frame, events, the remaining frame keys and END; close the file.

        `at_us` is the offset of the call's end. Raises `SpoolWriteError` if END cannot be written.
        """
        if self.closed:
            return
        try:
            self._append(events, end_at=at_us)
        except SpoolWriteError:
            self.abandon()
            raise
        self._let_go(unlink_keys=True)

    def abandon(self) -> None:
        """Close the file without an END frame: the spool counts as interrupted."""
        if not self.closed:
            self._let_go(unlink_keys=False)

    def duplicate(self) -> int:
        """Return a second descriptor of the file, which also keeps it locked."""
        return self._file.duplicate()

    def detach_open_frame(self) -> OpenFrame:
        """Close the file without an END frame; return the open frame for `adopt_open_frame`."""
        frame, self._open = self._open, OpenFrame()
        self.abandon()
        return frame

    def adopt_open_frame(self, frame: OpenFrame) -> None:
        """Write this spool's open frame, then take over `frame` from the call's previous spool."""
        self.flush_frame()
        self._open = frame

    def discard(self) -> None:
        """Close and remove the file. Call this only if no other process uses the file."""
        if not self.closed:
            self._let_go(unlink_keys=True)
        self._file.remove()

    def _let_go(self, *, unlink_keys: bool) -> None:
        self.closed = True
        self._open.clear()
        self._slots.close(unlink=unlink_keys)
        self._file.close()

    def _append(
        self,
        events: Sequence[Event] = (),
        *,
        release_at: int | None = None,
        end_at: int | None = None,
    ) -> None:
        """Write the open frame, events and frame keys in one write, or nothing of it.

        At `release_at` there is a tick, which first checks the path, and also writes the keys of
        frames that are older than the lookback. At `end_at` the call ends: all remaining keys are
        written, each of them twice, and the END frame. Both are offsets in µs.
        """
        blocks: list[bytes] = []
        sealed: list[UnpublishedFrame] = []
        first = self._index
        lost_from = self._open.first_us if self._open.size else None
        if self._open.size:
            block, frame = self._seal_open_frame()
            blocks.append(block)
            sealed.append(frame)
        for kind, fields, at_us in events:
            packed, span = pack_event(kind, fields), (max(0, at_us),) * 2
            times = 2 if kind in WRITTEN_TWICE else 1
            blocks += [self._frame(FrameKind.EVENT, span, packed) for _ in range(times)]
        due: list[UnpublishedFrame] = []
        if release_at is not None:
            due = self._due(release_at)
            blocks += self._publish(due, release_at)
        elif end_at is not None:
            remaining = [*self._unpublished, *sealed]
            blocks += self._publish(remaining, end_at) + self._publish(remaining, end_at)
            due = remaining * 2
            end = _encode(End(self._index))
            blocks.append(self._frame(FrameKind.END, (max(0, end_at),) * 2, end))
        if not blocks:
            if release_at is not None:
                self.check_path()
            return
        append = self._file.append if release_at is None else self._file.append_at_path
        try:
            self._write(blocks, media=sealed, published=due, lost_from=lost_from, append=append)
        except SpoolGoneError:
            # The data was not handed to the disk, so the packets move to the next spool, and the
            # indexes (with the nonces that come from them) can be used again.
            self._index = first
            raise
        except SpoolError:
            self._open.clear()
            raise
        self._open.clear()

    def _frame(self, kind: FrameKind, span: tuple[int, int], plaintext: bytes) -> bytes:
        self._index += 1
        return self._cipher.frame(kind, self._index, span, plaintext)

    def _seal_open_frame(self) -> tuple[bytes, UnpublishedFrame]:
        """Encrypt the open frame. If its key cannot be stored, its packets are lost."""
        try:
            return self._seal_media(self._open, 0)
        except OSError as error:
            lost_from = self._open.first_us
            add_to(self.counts.failed, self._open.packets)
            self._open.clear()
            raise SpoolWriteError(f"{self.path.name}: {error}", lost_from) from error

    def _seal_media(self, content: OpenFrame, offset: int) -> tuple[bytes, UnpublishedFrame]:
        """Encrypt a media frame under a new key, which is first stored in the runtime folder.

        `offset` is the position of the frame in the write that follows.
        """
        self._index += 1
        key = bytearray(os.urandom(32))
        self._slots.put(self._index, key)
        with content.plaintext as plaintext:
            span = content.span
            block = self._cipher.frame(FrameKind.MEDIA, self._index, span, plaintext, key)
        packets = tuple(content.packets)
        return block, UnpublishedFrame(self._index, key, span, offset, len(block), packets)

    def _reseal(
        self, saved: dict[int, OpenFrame]
    ) -> tuple[list[bytes], list[UnpublishedFrame], list[tuple[int, int]]]:
        """Make a replacement frame for each erased frame with packets to keep (`saved`).

        Return the bytes and descriptions of these frames, and pairs (erased, replacement) of
        indices.
        """
        blocks: list[bytes] = []
        sealed: list[UnpublishedFrame] = []
        replaced: list[tuple[int, int]] = []
        offset = 0
        for old, kept in saved.items():
            if kept.size:
                block, frame = self._seal_media(kept, offset)
                offset += len(block)
                blocks.append(block)
                sealed.append(frame)
                replaced.append((old, frame.index))
        return blocks, sealed, replaced

    def _packets_before(self, frame: UnpublishedFrame, at_us: int) -> OpenFrame:
        """Return the packets of a written frame that arrived before `at_us`.

        There are none if the file cannot be read. The decrypted packets are overwritten.
        """
        try:
            data = self._file.read(frame.size, frame.offset)
        except OSError:
            return OpenFrame()
        split = FRAME_HEADER.size, FRAME_HEADER.size + CRC.size
        parsed = parse_frame(data[: split[0]], data[split[0] : split[1]], data[split[1] :])
        plaintext = None if parsed is None else self._cipher.open_into_buffer(parsed, frame.key)
        if plaintext is None:
            return OpenFrame()
        kept = earlier_packets(frame.span[0], plaintext, at_us)
        plaintext[:] = bytes(len(plaintext))
        return kept

    def _due(self, now_us: int) -> list[UnpublishedFrame]:
        """Return the frames whose keys must be published at the time `now_us`.

        If the process was late, the packets of a frame are already old when they are written, and a
        pause that arrived meanwhile may not be handled yet. So the lookback of such a frame counts
        from `_LATE_US` before its first tick, not from its latest packet.
        """
        due = []
        for frame in self._unpublished:
            if frame.ticked_us is None:
                frame.ticked_us = now_us
            latest_us = max(frame.span[1], frame.ticked_us - _LATE_US)
            if latest_us + self.header.lookback_us <= now_us:
                due.append(frame)
        return due

    def _publish(self, due: list[UnpublishedFrame], at_us: int) -> list[bytes]:
        if not due:
            return []
        payload = _encode(PublishedKeys([(f.index, bytes(f.key)) for f in due]))
        return [self._frame(FrameKind.RELEASE, (max(0, at_us),) * 2, payload)]

    def _write(
        self,
        blocks: list[bytes],
        *,
        media: list[UnpublishedFrame] | None = None,
        published: list[UnpublishedFrame] | None = None,
        lost_from: int | None = None,
        append: Callable[[bytes], int] | None = None,
    ) -> None:
        """Write frames, and then remember which frame keys the file contains.

        `media` are the new media frames. `published` has a media frame once for each time that its
        key is written. A failed write destroys the keys of `media`, and raises a
        `SpoolWriteError` with `lost_from`. After a `SpoolGoneError`, nothing is lost, because
        nothing was handed to the disk.
        """
        media = media or []
        try:
            start = self._hand_over(b"".join(blocks), append or self._file.append)
        except SpoolGoneError:
            for frame in media:
                self._forget(frame)
            raise
        except SpoolWriteError as error:
            for frame in media:
                self._forget(frame)
                add_to(self.counts.failed, frame.packets)
            error.lost_from_us = lost_from
            raise
        self._written = self._index
        for frame in media:
            frame.offset += start
            add_to(self.counts.written, frame.packets)
        self._unpublished += media
        for frame in published or ():
            frame.published += 1
            self._released_to_us = max(self._released_to_us, frame.span[1])
            if frame.published == 2:
                self._forget(frame)
        self._unpublished = [f for f in self._unpublished if f.published < 2]

    def _forget(self, frame: UnpublishedFrame) -> bool:
        """Destroy a frame's key; return False if that failed in the runtime folder."""
        frame.key[:] = bytes(len(frame.key))
        try:
            self._slots.forget(frame.index)
        except OSError:
            return False
        return True

    def _hand_over(self, data: bytes, append: Callable[[bytes], int]) -> int:
        """Append `data`, completely or not at all; return its position in bytes.

        Raises `SpoolClosedError`, or `SpoolWriteError` if `data` could not be written.
        """
        if self.closed:
            raise SpoolClosedError(self.path.name)
        try:
            return append(data)
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error
