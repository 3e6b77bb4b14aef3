"""The writer of a call's spool.

Packets are collected in memory, in the open frame. About once a second the recorder calls `tick`.
`tick` encrypts the open frame under a new key, writes the frame to the file, and publishes the keys
of frames that are older than the lookback. To *publish* a key means to write it into the file, in a
RELEASE frame. Each key is written in two RELEASE frames, so that the media frame is still readable
if one of these RELEASE frames is damaged. A frame that cannot be written is dropped; the recording
then has a gap at this place.
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
    End,
    FrameCipher,
    FrameKind,
    PublishedKeys,
    Tombstone,
    pack_event,
    pack_header,
    parse_frame,
)
from recording.spool.keys import KeySlots, key_check, keys_path, wrap_spool_key
from recording.spool.open_frame import OpenFrame, UnpublishedFrame, earlier_packets
from recording.spool.packet_counts import WrittenCounts, add_to
from recording.spool.records import Clock, Event, Field, SpoolHeader

WRITTEN_TWICE = frozenset(
    {
        *("call", "caller", "answered", "media", "segment", "gap-start", "gap-end"),
        *("goes-on", "advisor", "packets", "ended"),
    }
)
"""The kinds of events that are written twice, in two equal frames.

The packets and events after such an event cannot be understood without this event. Because there
are two frames, the event is still readable if one frame is damaged.
"""
_LATE_US = 1_500_000
"""A frame is late if its latest packet is this old, in µs, at the first tick after its writing."""
_encode = msgspec.msgpack.encode


class SpoolWriter:
    """The writer of one spool file of a call. It only appends data to the file.

    All methods must be called in the same thread; only the function that `sync_job` returns may run
    in another thread. Every method that writes raises `SpoolWriteError` if the data cannot be
    written. The writer can still be used after such an error, and all data that is written later is
    readable.

    The methods are not split into several classes, because the bytes, the key and the index of a
    frame must be stored together or not at all. `SpoolFile` has the file operations, and `KeySlots`
    stores the keys.
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

        The file appears under its name only after it is locked and the file header is complete.

        Args:
            folder: The folder of the spool.
            runtime_keys_folder: The folder (a tmpfs) for frame keys that are not in the file yet.
            call_id: The call's id.
            life: The number of this spool among the call's spools, from 1.
            boot_key: The key under which the spool key is encrypted for this machine.
            recipients_wrap: The function that encrypts the spool key for the archive's recipients
                and returns it as an age file. None if there are no recipients.
            started: The instant at which the spool starts; offsets count from it.
            lookback_s: The minimum time in seconds from a frame's latest packet until the frame's
                key is written to the file.
            disk: The disk of `folder`.

        Raises:
            SpoolWriteError: The spool, or the file for its frame keys, cannot be created.
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
        """Set up the writer of an open file. Other modules call the class method `create`."""
        self.path = file.path
        self.header = header
        self.closed = False
        self.counts = WrittenCounts()
        """The counts of the packets that were given to this writer, except those in memory.

        If the call continues from another spool, the packets of that spool are counted too.
        """
        self._file = file
        self._slots = slots
        self._cipher = seal
        self._index = 0
        self._written = 0
        self._open = OpenFrame()
        self._unpublished: list[UnpublishedFrame] = []
        self._released_to_us = -1

    def packet(self, track: int, at_us: int, data: bytes | bytearray | memoryview) -> None:
        """Add one packet to the open frame, which contains the packets in memory.

        This method runs for every packet, so it usually makes no system call. In two rare cases,
        the open frame is written before the packet is added: the open frame is full because `tick`
        was not called, or the packet arrived before the open frame's first packet.

        Args:
            track: The track of the party that sent the packet.
            at_us: The packet's arrival, as an offset in µs; not negative.
            data: The datagram, which is always shorter than 64 KiB.
        """
        if not self._open.takes(at_us):
            self.flush_frame()
        self._open.add(track, at_us, data)

    def event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Write the open frame (the packets in memory), and then an event.

        So the event is in the file after all packets that were added before the event.
        """
        self.events([(kind, fields, at_us)])

    def events(self, events: Sequence[Event]) -> None:
        """Write the open frame (the packets in memory), and then these events, in one write."""
        self._append(events)

    def flush_frame(self) -> None:
        """Write the open frame (the packets in memory), if it contains packets."""
        if self._open.size:
            self._append()

    def tick(self, now_us: int, events: Sequence[Event] = ()) -> None:
        """Write the packets in memory, events, and the keys of frames older than the lookback.

        Call this method at least once a second. All data is written in one write; if there is no
        data, nothing is written. `now_us` is the present time, as an offset in µs.

        The path is checked first, as by `check_path`. If the check fails, nothing is written, and
        the packets stay in memory.
        """
        self._append(events, release_at=now_us)

    @property
    def last_index(self) -> int:
        """The index of the latest frame that was written to the file; 0 if there is none yet."""
        return self._written

    @property
    def latest_us(self) -> int:
        """The offset (µs) of the latest packet that was added; 0 if there is none."""
        return self._open.last_us

    @property
    def pending(self) -> list[int]:
        """The number of packets in memory on each track. They are not written yet."""
        return self._open.packets

    @property
    def erasable_from_us(self) -> int:
        """The offset (µs) from which on `erase_back_to` can still erase every packet."""
        return self._released_to_us + 1

    def erase_back_to(self, at_us: int) -> None:
        """Erase the packets that arrived at or after the offset `at_us`: make them unreadable.

        A packet is not erased if the key of its frame is already in the file. If an erased frame
        also has packets that arrived before `at_us`, these earlier packets are written again in a
        replacement frame.

        The replacement frames and the tombstone (the list of erased frames) are written in one
        write. Then the keys of the erased frames are destroyed, even if the write failed.

        Raises:
            SpoolWriteError: The write failed, or a key in the runtime folder could not be
                overwritten.
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
        """Write the replacement frames of these erased frames, then two equal tombstones.

        A replacement frame has the packets of an erased frame that arrived before `at_us`.
        """
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

        This check is needed because writes to an open file still succeed after the file's disk was
        unmounted.

        Raises:
            SpoolGoneError: The folder has no file of this name, has another file of this name, or
                cannot be read.
            SpoolWriteError: The disk hangs.
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
        """Return a function that syncs all written data to the disk.

        The function blocks, so it must run in a separate thread. It raises `SpoolSyncError` if the
        sync fails. The spool may be closed after `sync_job` has returned, even while the function
        runs.

        Raises:
            SpoolClosedError: The spool was closed before the call of `sync_job`.
        """
        if self.closed:
            raise SpoolClosedError(self.path.name)
        return self._file.sync_job()

    @property
    def is_hanging(self) -> bool:
        """True while the disk is treated as hanging (see `WatchedDisk`)."""
        return self._file.is_hanging

    def run_when_disk_recovers(self, job: Callable[[], None]) -> None:
        """Run `job` now. If the disk hangs, run `job` as soon as the disk works again.

        If the disk is a `WatchedDisk`, `job` runs in that disk's own thread.
        """
        self._file.run_later(job)

    @property
    def threads(self) -> Executor | None:
        """The executor that should run a `sync_job`; None for the event loop's default executor."""
        return self._file.threads

    def close(self, at_us: int, events: Sequence[Event] = ()) -> None:
        """Write the packets in memory, events, all remaining frame keys and the END frame.

        Then close the file. The file is then no longer locked. If the spool is already closed, do
        nothing. `at_us` is the offset of the call's end.
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
        """Close the file without an END frame.

        `SpoolReader` then reports the spool as interrupted.
        """
        if not self.closed:
            self._let_go(unlink_keys=False)

    def duplicate(self) -> int:
        """Return a second descriptor of the file.

        The file stays locked until this descriptor is closed and the writer has closed the file.
        """
        return self._file.duplicate()

    def detach_open_frame(self) -> OpenFrame:
        """Close the file without an END frame, and return the open frame (the packets in memory).

        The call's next spool will write these packets (`adopt_open_frame`).
        """
        frame, self._open = self._open, OpenFrame()
        self.abandon()
        return frame

    def adopt_open_frame(self, frame: OpenFrame) -> None:
        """Take over `frame`, the open frame of the call's previous spool.

        An open frame contains packets that are not written yet. The packets in the open frame of
        this spool are written first.
        """
        self.flush_frame()
        self._open = frame

    def discard(self) -> None:
        """Close and remove the file. Call this method only if no other process uses the file."""
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
        """Write the open frame (the packets in memory), events and frame keys in one write.

        If the write fails, no part of this data is written.

        Args:
            events: The kind, the fields and the offset (µs) of each event.
            release_at: The present time as an offset (µs), if this is a tick; otherwise None. A
                tick first checks the path, and also writes the keys of frames that are older than
                the lookback.
            end_at: The offset (µs) of the call's end, if nothing follows; otherwise None. Then all
                remaining keys are written, each of them twice, and the END frame.
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
        """Encrypt a media frame under a new key.

        The key is first stored in the runtime folder. `offset` is the position of the frame in the
        write that follows. Return the frame's bytes and the frame's description.
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
        """Make a replacement frame for each erased frame that has packets which must stay readable.

        `saved` is a dict from the index of an erased frame to the frame's packets that must stay
        readable. If there are none, the erased frame gets no replacement frame.

        Return the bytes of the replacement frames, the descriptions of these frames, and pairs
        (index of the erased frame, index of its replacement frame).
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

        The frame is read from the file. If the frame cannot be read, the result is empty. The
        decrypted packets are overwritten.
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

        If the process was late, the packets of a frame are already old when they are written. A
        pause that arrived meanwhile may not be handled yet. Such a frame can still be erased during
        the whole lookback.
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
        """Return the RELEASE frame with the keys of these frames; [] if there are no frames."""
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
        """Write frames to the file, and then remember which frame keys the file contains.

        Args:
            blocks: The bytes of each frame.
            media: The descriptions of the new media frames in `blocks`; None if there are none.
            published: The media frames whose keys are in the RELEASE frames in `blocks`, once for
                each RELEASE frame that has the key; None if there are none.
            lost_from: The offset (µs) of the first packet that is lost if the write fails; None if
                no packet is lost.
            append: The method of the file that writes; None for `append`.

        Raises:
            SpoolGoneError: `append` has checked the path, and has written nothing. The keys of the
                frames in `media` are destroyed.
            SpoolWriteError: The write failed. The keys of the frames in `media` are destroyed.
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
        """Overwrite a frame's key with zeros, in memory and in the runtime folder.

        Return False if the key in the runtime folder could not be overwritten.
        """
        frame.key[:] = bytes(len(frame.key))
        try:
            self._slots.forget(frame.index)
        except OSError:
            return False
        return True

    def _hand_over(self, data: bytes, append: Callable[[bytes], int]) -> int:
        """Append `data` to the file, completely or not at all; return its position in bytes.

        Raises:
            SpoolClosedError: The spool is closed.
            SpoolGoneError: `append` has found that the path leads to another file, or to none.
            SpoolWriteError: `data` could not be written.
        """
        if self.closed:
            raise SpoolClosedError(self.path.name)
        try:
            return append(data)
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error
