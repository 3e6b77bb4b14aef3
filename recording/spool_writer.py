"""Writes the spool of one call.

Media gathers in an open frame in memory; about once a second the owner's `tick` seals it under a
fresh key and hands it to the kernel, and publishes the keys of frames that are older than the
lookback. A key is published twice, in two release records, so that no single damaged frame costs
more than itself. What the disk refuses is dropped and never retried: the caller shows it as a gap.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

import msgspec

from recording.disk import TRUSTED, Disk
from recording.errors import SpoolClosedError, SpoolGoneError, SpoolWriteError
from recording.spool_file import SpoolFile
from recording.spool_format import (
    CRC,
    FRAME_HEADER,
    End,
    FrameKind,
    Release,
    Seal,
    Tombstone,
    pack_event,
    pack_header,
    pack_packets,
    parse_frame,
    unpack_packets,
)
from recording.spool_frame import OpenFrame, Unreleased
from recording.spool_keys import KeySlots, key_check, keys_path, wrap_spool_key
from recording.spool_records import Clock, Field, SpoolHeader

TOLD_TWICE = frozenset(
    {"call", "answered", "media", "segment", "gap-start", "gap-end", "goes-on", "advisor", "ended"}
)
"""Without one of these, what follows would be explained by nothing: no single frame holds it."""
_encode = msgspec.msgpack.encode
_Packets = list[tuple[int, int, bytes]]


class SpoolWriter:
    """An append-only file for one call and process life. Not thread-safe, but for `sync_job`.

    Every method that writes raises `SpoolWriteError` when the disk refuses; the spool stays
    usable, and the next write that succeeds leaves a file that a reader can follow.
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
        disk: Disk = TRUSTED,
    ) -> Self:
        """Make `folder/CALL_ID.LIFE.spool`, locked, with its header written.

        The name appears only once the file is locked and its header whole. `recipients_wrap`
        seals the spool key to the archive's recipients (an age file comes back). `disk`: that of
        `folder`.
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
        return cls(file, slots, header, Seal(spool_key, identity))

    def __init__(self, file: SpoolFile, slots: KeySlots, header: SpoolHeader, seal: Seal) -> None:
        """Use `create`."""
        self.path = file.path
        self.header = header
        self.closed = False
        self._file = file
        self._slots = slots
        self._seal = seal
        self._index = 0
        self._written = 0
        self._open = OpenFrame()
        self._unreleased: list[Unreleased] = []
        self._released_to_us = -1

    def packet(self, track: int, at_us: int, data: bytes) -> None:
        """Keep one packet (a datagram, so under 64 KiB) in the open frame.

        `at_us` is never negative. The hot path: no system call, unless the owner has let the
        frame grow beyond its limit, or time runs backwards.
        """
        if not self._open.takes(at_us):
            self.flush_frame()
        self._open.add(track, at_us, data)

    def event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Seal the open frame, then append an event: what is read comes in this order."""
        self._append(event=(kind, fields, max(0, at_us)))

    def flush_frame(self) -> None:
        """Seal the open frame and hand it to the kernel."""
        if self._open.packed:
            self._append()

    def release_due(self, now_us: int) -> None:
        """Publish the keys of frames that ended `lookback` or longer before `now_us`."""
        due = self._due(now_us)
        if due:
            self._write(self._release(due, now_us), published=due)

    def tick(self, now_us: int) -> None:
        """`flush_frame` and `release_due` in one write. To be called at least once a second."""
        self._append(release_at=now_us)

    @property
    def last_index(self) -> int:
        """The number of the last frame that the kernel took; 0 before the first."""
        return self._written

    @property
    def erasable_from_us(self) -> int:
        """The earliest offset that `erase_back_to` can still reach."""
        return self._released_to_us + 1

    def erase_back_to(self, at_us: int) -> None:
        """Make every packet with offset >= `at_us` unreadable, as far as keys are unpublished.

        One write tells the file: what the frame that straddles `at_us` held before it, sealed
        anew, and the tombstone. The keys are destroyed after it, whether the disk took it or not.
        """
        self._open.forget_from(at_us)
        doomed = [f for f in self._unreleased if not f.published and f.span[1] >= at_us]
        if not doomed:
            return
        self._unreleased = [f for f in self._unreleased if f not in doomed]
        try:
            self._bury(doomed, at_us)
        finally:
            stuck = [frame.index for frame in doomed if not self._forget(frame)]
        if stuck:
            raise SpoolWriteError(f"{self.path.name}: keys of frames {stuck} stay behind")

    def _bury(self, doomed: list[Unreleased], at_us: int) -> None:
        """Write what is kept of these frames, and that they are erased."""
        saved = {f.index: self._packets_before(f, at_us) for f in doomed if f.span[0] < at_us}
        lost_from = min((at for kept in saved.values() for at, _, _ in kept), default=None)
        try:
            blocks, sealed, replaced = self._reseal(saved)
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error}", lost_from) from error
        stone = _encode(Tombstone(at_us, [f.index for f in doomed], replaced))
        for _ in range(2):
            blocks.append(self._frame(FrameKind.TOMBSTONE, (max(0, at_us),) * 2, stone))
        self._write(blocks, media=sealed, lost_from=lost_from)

    def check_place(self) -> None:
        """Whether the file still lies under its name, where it will be looked for.

        A disk that is unmounted under it takes writes as if nothing were, until the last file on it
        is closed. Raises `SpoolGoneError`.
        """
        try:
            in_place = self._file.is_in_place()
        except TimeoutError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error
        except OSError as error:
            raise SpoolGoneError(f"{self.path.name} is gone: {error.strerror}") from error
        if not in_place:
            raise SpoolGoneError(f"{self.path.name}: another file lies in its place")

    @property
    def room(self) -> int:
        """Bytes that the disk says it can still take."""
        return 0 if self.closed else self._file.room

    def sync(self) -> None:
        """Block until what was written is on the disk (`fdatasync`). Raises `SpoolSyncError`."""
        self.sync_job()()

    def sync_job(self) -> Callable[[], None]:
        """What `sync` does, to be run in a thread; safe against a `close` meanwhile."""
        if self.closed:
            raise SpoolClosedError(self.path.name)
        return self._file.sync_job()

    @property
    def hangs(self) -> bool:
        """Whether the disk neither takes nor refuses anything: it is not waited for."""
        return self._file.hangs

    def when_it_goes_on(self, job: Callable[[], None]) -> None:
        """Have this done, by another thread, when a disk that hangs goes on."""
        self._file.entrust(job)

    @property
    def threads(self) -> Executor | None:
        """Where to run a `sync_job`; None: in the loop's own threads."""
        return self._file.threads

    def close(self, at_us: int) -> None:
        """Publish every key left, append END, unlock. Closing again does nothing."""
        if self.closed:
            return
        try:
            self._append()
            due = self._unreleased
            blocks = self._release(due, at_us) + self._release(due, at_us) if due else []
            end = _encode(End(self._index))
            blocks.append(self._frame(FrameKind.END, (max(0, at_us),) * 2, end))
            self._write(blocks, published=due)
        except SpoolWriteError:
            self.abandon()
            raise
        for frame in self._unreleased:
            self._forget(frame)
        self._unreleased.clear()
        self._let_go(unlink_keys=True)

    def abandon(self) -> None:
        """Let go of the file as it is, without END: the recording reads as interrupted."""
        if not self.closed:
            self._let_go(unlink_keys=False)

    def duplicate(self) -> int:
        """Another descriptor of the file; its lock holds until that is closed, too."""
        return self._file.duplicate()

    def hand_on(self) -> OpenFrame:
        """Let go of the file as it is; what was not sealed yet is for the call's next spool."""
        frame, self._open = self._open, OpenFrame()
        self.abandon()
        return frame

    def take_on(self, frame: OpenFrame) -> None:
        """Seal next what another spool of this call had not sealed yet."""
        self.flush_frame()
        self._open = frame

    def withdraw(self) -> None:
        """Let go of the file and remove it: nobody was told of it yet."""
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
        """Write the open frame, an event and what is due to be published, all or nothing."""
        blocks: list[bytes] = []
        sealed: list[Unreleased] = []
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
            told = pack_event(kind, fields)
            times = 2 if kind in TOLD_TWICE else 1
            blocks += [self._frame(FrameKind.EVENT, (at_us, at_us), told) for _ in range(times)]
        due = [] if release_at is None else self._due(release_at)
        if release_at is not None and due:
            blocks += self._release(due, release_at)
        if blocks:
            self._write(blocks, media=sealed, published=due, lost_from=lost_from)

    def _frame(self, kind: FrameKind, span: tuple[int, int], plaintext: bytes) -> bytes:
        self._index += 1
        return self._seal.frame(kind, self._index, span, plaintext)

    def _seal_media(
        self, span: tuple[int, int], plaintext: bytes | bytearray, offset: int
    ) -> tuple[bytes, Unreleased]:
        """A media frame under a key of its own, which the runtime folder has before the disk."""
        self._index += 1
        key = bytearray(os.urandom(32))
        self._slots.put(self._index, key)
        block = self._seal.frame(FrameKind.MEDIA, self._index, span, plaintext, key)
        return block, Unreleased(self._index, key, span, offset, len(block))

    def _reseal(
        self, saved: dict[int, _Packets]
    ) -> tuple[list[bytes], list[Unreleased], list[tuple[int, int]]]:
        """New frames for what is kept of erased ones, and which stands for which."""
        blocks: list[bytes] = []
        sealed: list[Unreleased] = []
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

    def _packets_before(self, frame: Unreleased, at_us: int) -> _Packets:
        """What a sealed frame holds from before `at_us`; nothing if it cannot be read back."""
        try:
            data = self._file.read(frame.size, frame.offset)
        except OSError:
            return []
        split = FRAME_HEADER.size, FRAME_HEADER.size + CRC.size
        parsed = parse_frame(data[: split[0]], data[split[0] : split[1]], data[split[1] :])
        plaintext = None if parsed is None else self._seal.open(parsed, frame.key)
        packets = None if plaintext is None else unpack_packets(frame.span[0], plaintext)
        return [(p.at_us, p.track, p.data) for p in packets or () if p.at_us < at_us]

    def _due(self, now_us: int) -> list[Unreleased]:
        return [f for f in self._unreleased if f.span[1] + self.header.lookback_us <= now_us]

    def _release(self, due: list[Unreleased], at_us: int) -> list[bytes]:
        payload = _encode(Release([(f.index, bytes(f.key)) for f in due]))
        return [self._frame(FrameKind.RELEASE, (max(0, at_us),) * 2, payload)]

    def _write(
        self,
        blocks: list[bytes],
        *,
        media: list[Unreleased] | None = None,
        published: list[Unreleased] | None = None,
        lost_from: int | None = None,
    ) -> None:
        """Hand `blocks` to the kernel; then, and only then, what they say is so."""
        media = media or []
        try:
            self._hand_over(b"".join(blocks))
        except SpoolWriteError as error:
            for frame in media:
                self._forget(frame)
            error.lost_from_us = lost_from
            raise
        self._written = self._index
        self._unreleased += media
        for frame in published or ():
            frame.published += 1
            self._released_to_us = max(self._released_to_us, frame.span[1])
            if frame.published == 2:
                self._forget(frame)
        self._unreleased = [f for f in self._unreleased if f.published < 2]

    def _forget(self, frame: Unreleased) -> bool:
        """Destroy a key wherever it is; False if the runtime folder would not have it."""
        frame.key[:] = bytes(len(frame.key))
        try:
            self._slots.forget(frame.index)
        except OSError:
            return False
        return True

    def _hand_over(self, data: bytes) -> None:
        """Append all of `data` or nothing."""
        if self.closed:
            raise SpoolClosedError(self.path.name)
        try:
            self._file.append(data)
        except OSError as error:
            raise SpoolWriteError(f"{self.path.name}: {error.strerror}") from error
