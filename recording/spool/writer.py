"""Writes the spool of one call.

Packets gather in memory, in the open frame. About once a second the owner calls `tick`. It seals
the open frame under a new key, hands it to the kernel, and publishes the keys of frames that are
older than the lookback. Each key is published in two RELEASE frames, so that one damaged frame
loses nothing but its own contents. Data that the disk refuses is dropped and never retried; the
recorder shows it as a gap.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

import msgspec

from recording.errors import SpoolClosedError, SpoolGoneError, SpoolWriteError
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
    pack_packets,
    parse_frame,
    unpack_packets,
)
from recording.spool.keys import KeySlots, key_check, keys_path, wrap_spool_key
from recording.spool.open_frame import OpenFrame, UnpublishedFrame
from recording.spool.records import Clock, Field, SpoolHeader

WRITTEN_TWICE = frozenset(
    {"call", "answered", "media", "segment", "gap-start", "gap-end", "goes-on", "advisor", "ended"}
)
"""The event kinds that are written twice, in two frames.

A reader cannot explain what follows such an event if it is lost. With two frames, no single
damaged frame loses it.
"""
_encode = msgspec.msgpack.encode
_Packets = list[tuple[int, int, bytes]]


class SpoolWriter:
    """An append-only file for one life of one call. Only `sync_job` is thread-safe.

    Every method that writes raises `SpoolWriteError` when the disk refuses the data. The spool
    stays usable, and after the next successful write a reader can follow the file. It is one class
    because a frame's bytes, its key and its index succeed or fail together. The file and the stored
    keys have classes of their own.
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
        """Create `folder/CALL_ID.LIFE.spool`, lock it and write its header.

        The file gets its name only when it is locked and its header is complete.

        Args:
            folder: The folder of the spool.
            runtime_keys_folder: The folder for the keys that are not published yet.
            call_id: The call's id.
            life: The number of this spool among the call's spools, from 1.
            boot_key: The key under which the spool key is wrapped for this machine.
            recipients_wrap: Wraps the spool key for the archive's recipients and returns an age
                file. None if there are no recipients.
            started: The instant of offset 0.
            lookback_s: The seconds for which a frame's key is held back.
            disk: The disk of `folder`.

        Raises:
            SpoolWriteError: The file system refuses the spool or its file of keys.
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
        """Use `create` instead."""
        self.path = file.path
        self.header = header
        self.closed = False
        self._file = file
        self._slots = slots
        self._cipher = seal
        self._index = 0
        self._written = 0
        self._open = OpenFrame()
        self._unpublished: list[UnpublishedFrame] = []
        self._released_to_us = -1

    def packet(self, track: int, at_us: int, data: bytes) -> None:
        """Add one packet (a datagram, so under 64 KiB) to the open frame.

        `at_us` must not be negative. This is the hot path. It makes no system call, unless the
        frame is full because the owner did not call `tick`, or `at_us` is before the frame's first
        packet.
        """
        if not self._open.takes(at_us):
            self.flush_frame()
        self._open.add(track, at_us, data)

    def event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Seal the open frame, then append an event, so that a reader meets them in this order."""
        self._append(event=(kind, fields, max(0, at_us)))

    def flush_frame(self) -> None:
        """Seal the open frame and hand it to the kernel."""
        if self._open.packed:
            self._append()

    def tick(self, now_us: int) -> None:
        """Seal the open frame, and publish the keys of frames that are older than the lookback.

        Call it at least once a second; it makes one write.
        """
        self._append(release_at=now_us)

    @property
    def last_index(self) -> int:
        """The index of the last frame that was handed to the kernel; 0 before the first."""
        return self._written

    @property
    def erasable_from_us(self) -> int:
        """The earliest offset (µs) that `erase_back_to` can still erase."""
        return self._released_to_us + 1

    def erase_back_to(self, at_us: int) -> None:
        """Make every packet with offset >= `at_us` unreadable, where its key is not published yet.

        One write adds two things to the file: the tombstone, and a new frame with the packets from
        before `at_us` of each frame that began earlier. The keys are destroyed after this write,
        even if the disk refused it.

        Raises:
            SpoolWriteError: The disk refused the write, or a key could not be removed from the
                runtime folder.
        """
        self._open.forget_from(at_us)
        erased = [f for f in self._unpublished if not f.published and f.span[1] >= at_us]
        if not erased:
            return
        self._unpublished = [f for f in self._unpublished if f not in erased]
        try:
            self._write_tombstone(erased, at_us)
        finally:
            remaining = [frame.index for frame in erased if not self._forget(frame)]
        if remaining:
            raise SpoolWriteError(f"{self.path.name}: keys of frames {remaining} stay behind")

    def _write_tombstone(self, erased: list[UnpublishedFrame], at_us: int) -> None:
        """Write the packets to keep of these frames in new frames, and the tombstone twice."""
        saved = {f.index: self._packets_before(f, at_us) for f in erased if f.span[0] < at_us}
        lost_from = min((at for kept in saved.values() for at, _, _ in kept), default=None)
        try:
            blocks, sealed, replaced = self._reseal(saved)
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error}", lost_from) from error
        tombstone = _encode(Tombstone(at_us, [f.index for f in erased], replaced))
        for _ in range(2):
            blocks.append(self._frame(FrameKind.TOMBSTONE, (max(0, at_us),) * 2, tombstone))
        self._write(blocks, media=sealed, lost_from=lost_from)

    def check_path(self) -> None:
        """Check that the file is still in its folder under its name, where readers look for it.

        If its disk is unmounted while the file is open, the kernel still accepts writes to it.

        Raises:
            SpoolGoneError: The name is gone, cannot be read or belongs to another file.
            SpoolWriteError: The disk hangs.
        """
        try:
            in_place = self._file.is_at_path()
        except TimeoutError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error
        except OSError as error:
            raise SpoolGoneError(f"{self.path.name} is gone: {error.strerror}") from error
        if not in_place:
            raise SpoolGoneError(f"{self.path.name}: another file lies in its place")

    @property
    def free_bytes(self) -> int:
        """The free bytes on the disk, as it reports them; 0 if the spool is closed."""
        return 0 if self.closed else self._file.free_bytes

    def sync_job(self) -> Callable[[], None]:
        """Return a function that syncs all written data to the disk, for a thread.

        It blocks and raises `SpoolSyncError`. The spool may be closed before or while it runs.

        Raises:
            SpoolClosedError: The spool is closed already.
        """
        if self.closed:
            raise SpoolClosedError(self.path.name)
        return self._file.sync_job()

    @property
    def is_hanging(self) -> bool:
        """True while the disk hangs, so that it neither accepts nor refuses a write."""
        return self._file.is_hanging

    def run_when_disk_recovers(self, job: Callable[[], None]) -> None:
        """Let another thread run `job` when a disk that hangs answers again."""
        self._file.run_later(job)

    @property
    def threads(self) -> Executor | None:
        """The executor for a `sync_job`; None means the event loop's default executor."""
        return self._file.threads

    def close(self, at_us: int) -> None:
        """Publish every remaining key, append END and unlock the file.

        A second call does nothing.
        """
        if self.closed:
            return
        try:
            self._append()
            due = self._unpublished
            blocks = self._publish(due, at_us) + self._publish(due, at_us) if due else []
            end = _encode(End(self._index))
            blocks.append(self._frame(FrameKind.END, (max(0, at_us),) * 2, end))
            self._write(blocks, published=due)
        except SpoolWriteError:
            self.abandon()
            raise
        for frame in self._unpublished:
            self._forget(frame)
        self._unpublished.clear()
        self._let_go(unlink_keys=True)

    def abandon(self) -> None:
        """Close the file without END, so that the recording is read as interrupted."""
        if not self.closed:
            self._let_go(unlink_keys=False)

    def duplicate(self) -> int:
        """Return a second descriptor of the file; the lock lasts until both are closed."""
        return self._file.duplicate()

    def detach_open_frame(self) -> OpenFrame:
        """Close the file without END and return its open frame for the call's next spool."""
        frame, self._open = self._open, OpenFrame()
        self.abandon()
        return frame

    def adopt_open_frame(self, frame: OpenFrame) -> None:
        """Seal our open frame, then continue with the open frame of the call's previous spool."""
        self.flush_frame()
        self._open = frame

    def discard(self) -> None:
        """Close and remove the file; no other process knows of it yet."""
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
        *,
        event: tuple[str, Mapping[str, Field], int] | None = None,
        release_at: int | None = None,
    ) -> None:
        """Write the open frame, an event and the keys due at `release_at`: all of it or nothing."""
        blocks: list[bytes] = []
        sealed: list[UnpublishedFrame] = []
        lost_from = self._open.first_us if self._open.packed else None
        if self._open.packed:
            span, plaintext = self._open.span, self._open.packed
            self._open.clear()
            try:
                block, frame = self._seal_media(span, plaintext, self._file.size)
            except OSError as error:
                raise SpoolWriteError(f"{self.path.name}: {error}", lost_from) from error
            blocks.append(block)
            sealed.append(frame)
        if event is not None:
            kind, fields, at_us = event
            packed = pack_event(kind, fields)
            times = 2 if kind in WRITTEN_TWICE else 1
            blocks += [self._frame(FrameKind.EVENT, (at_us, at_us), packed) for _ in range(times)]
        due = [] if release_at is None else self._due(release_at)
        if release_at is not None and due:
            blocks += self._publish(due, release_at)
        if blocks:
            self._write(blocks, media=sealed, published=due, lost_from=lost_from)

    def _frame(self, kind: FrameKind, span: tuple[int, int], plaintext: bytes) -> bytes:
        self._index += 1
        return self._cipher.frame(kind, self._index, span, plaintext)

    def _seal_media(
        self, span: tuple[int, int], plaintext: bytes | bytearray, offset: int
    ) -> tuple[bytes, UnpublishedFrame]:
        """Seal a media frame under a new key, which is stored in the runtime folder first."""
        self._index += 1
        key = bytearray(os.urandom(32))
        self._slots.put(self._index, key)
        block = self._cipher.frame(FrameKind.MEDIA, self._index, span, plaintext, key)
        return block, UnpublishedFrame(self._index, key, span, offset, len(block))

    def _reseal(
        self, saved: dict[int, _Packets]
    ) -> tuple[list[bytes], list[UnpublishedFrame], list[tuple[int, int]]]:
        """Seal the packets to keep of erased frames into new frames.

        Returns the new frames' bytes, their descriptions, and pairs of old and new index. An
        erased frame without packets to keep gets no new frame.
        """
        blocks: list[bytes] = []
        sealed: list[UnpublishedFrame] = []
        replaced: list[tuple[int, int]] = []
        offset = self._file.size
        for old, packets in saved.items():
            if packets:
                block, frame = self._seal_media(*pack_packets(packets), offset)
                offset += len(block)
                blocks.append(block)
                sealed.append(frame)
                replaced.append((old, frame.index))
        return blocks, sealed, replaced

    def _packets_before(self, frame: UnpublishedFrame, at_us: int) -> _Packets:
        """Return a sealed frame's packets from before `at_us`; empty if it cannot be read back."""
        try:
            data = self._file.read(frame.size, frame.offset)
        except OSError:
            return []
        split = FRAME_HEADER.size, FRAME_HEADER.size + CRC.size
        parsed = parse_frame(data[: split[0]], data[split[0] : split[1]], data[split[1] :])
        plaintext = None if parsed is None else self._cipher.open(parsed, frame.key)
        packets = None if plaintext is None else unpack_packets(frame.span[0], plaintext)
        return [(p.at_us, p.track, p.data) for p in packets or () if p.at_us < at_us]

    def _due(self, now_us: int) -> list[UnpublishedFrame]:
        return [f for f in self._unpublished if f.span[1] + self.header.lookback_us <= now_us]

    def _publish(self, due: list[UnpublishedFrame], at_us: int) -> list[bytes]:
        payload = _encode(PublishedKeys([(f.index, bytes(f.key)) for f in due]))
        return [self._frame(FrameKind.RELEASE, (max(0, at_us),) * 2, payload)]

    def _write(
        self,
        blocks: list[bytes],
        *,
        media: list[UnpublishedFrame] | None = None,
        published: list[UnpublishedFrame] | None = None,
        lost_from: int | None = None,
    ) -> None:
        """Hand `blocks` to the kernel, and update the writer's state only if that succeeds.

        Args:
            blocks: The frames, as bytes.
            media: The new media frames among them.
            published: The frames whose keys `blocks` publishes.
            lost_from: The first offset that is lost if the write fails; None if no media is.

        Raises:
            SpoolWriteError: The disk refused; the keys of `media` are destroyed.
        """
        media = media or []
        try:
            self._hand_over(b"".join(blocks))
        except SpoolWriteError as error:
            for frame in media:
                self._forget(frame)
            error.lost_from_us = lost_from
            raise
        self._written = self._index
        self._unpublished += media
        for frame in published or ():
            frame.published += 1
            self._released_to_us = max(self._released_to_us, frame.span[1])
            if frame.published == 2:
                self._forget(frame)
        self._unpublished = [f for f in self._unpublished if f.published < 2]

    def _forget(self, frame: UnpublishedFrame) -> bool:
        """Destroy every copy of a key; return False if the runtime folder refused the write."""
        frame.key[:] = bytes(len(frame.key))
        try:
            self._slots.forget(frame.index)
        except OSError:
            return False
        return True

    def _hand_over(self, data: bytes) -> None:
        """Append all of `data` or nothing. Raises `SpoolWriteError`, `SpoolClosedError`."""
        if self.closed:
            raise SpoolClosedError(self.path.name)
        try:
            self._file.append(data)
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error
