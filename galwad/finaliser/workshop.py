"""Calls, from their spools to sealed recordings. No sockets, no loop.

Every outcome that is not a recording leaves the spools where they are: nothing is deleted
but by `forget`, which the desk's word allows.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import structlog

from galwad.finaliser.apprentice import Apprentice
from galwad.finaliser.spools import NAME, Spools, life_of
from galwad.messages import (
    Alarm,
    ArchiveReply,
    CommitHeader,
    Dispose,
    GapFacts,
    LeftSpool,
    Prove,
    Proven,
    Sealed,
    StageHeader,
)
from recording.archive.call_facts import Personal
from recording.archive.disposal import AuditPlace, Disposals, Order
from recording.archive.headers import Headers
from recording.archive.reindex import disposed_at, prove
from recording.archive.sealing import SpoolKeys
from recording.archive.store import Archive, Node, SealedRecording
from recording.errors import (
    ArchiveError,
    KeyFileError,
    KeySetError,
    RecordingError,
    SpoolError,
    SpoolKeyError,
)
from recording.keys.keyring import RecipientSet, load_boot_key, load_or_create_node_key, public_text
from recording.spool import is_live, remove_spool
from recording.spool.recovery import recovered_keys, shred_recovered

_LEFT_S: Final = 300.0
"""A spool that waits as long as this is told to the desk: sealing takes moments."""
ArchiveOrder: TypeAlias = StageHeader | CommitHeader | Dispose | Prove
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things lie."""

    spools: tuple[Path, Path]
    """Of all, and on the spare disk."""
    archive: Path
    recipients: Path
    boot_keys: tuple[Path, ...]
    runtime_keys: Path
    checkpoints: Path
    """Where the switch keeps what it would go on with after its death."""
    node_key: Path


class Workshop:
    """Seals calls. Its methods block; each thread inside has another call, and one follows."""

    def __init__(self, folders: Folders, node: str, software: str, officer_key: str) -> None:
        """Load or make the node's signing key, and lay its public half beside the recordings.

        Raises:
            KeyFileError: the signing key cannot be read.
            OSError: the archive cannot be written.
        """
        self._folders = folders
        self._officer_key = officer_key
        key = load_or_create_node_key(folders.node_key)
        self._public_key = public_text(key.public_key())
        ours = Node(node, software, key)
        self._archive = Archive(folders.archive, ours)
        self._disposals = Disposals(folders.archive, ours)
        self._spools = Spools(*folders.spools)
        self._apprentice = Apprentice(self._spools, self._archive, self._keys)
        self._headers = Headers(folders.archive, folders.recipients, officer_key)
        folders.archive.mkdir(mode=0o750, parents=True, exist_ok=True)
        public = folders.archive / f"{node}.pub"
        text = f"{self._public_key}\n"
        if not public.exists() or public.read_text(encoding="ascii") != text:
            public.write_text(text, encoding="ascii")
        self._began_at = self._place()

    def _place(self) -> tuple[int, int] | None:
        """Which folder the archive is; None while there is none.

        What is sealed below an empty mount point would be hidden once its disk is back.
        """
        try:
            there = self._folders.archive.stat()
        except OSError:
            return None
        return there.st_dev, there.st_ino

    def closed(self) -> dict[str, int]:
        """Calls whose spools nobody writes to any more, oldest first, and their bytes.

        The folder is read once, however many calls an outage left in it.
        """
        return {
            call_id: _bytes(paths)
            for call_id, paths in sorted(self._spools.by_call().items())
            if self._finished(call_id, paths)
        }

    def unreadable(self, closed: Collection[str]) -> dict[str, str]:
        """Of calls that are not among these, what cannot even be asked whether it is written."""
        found = {}
        for call_id, paths in sorted(self._spools.by_call().items()):
            if call_id not in closed:
                for why in filter(None, map(_unreadable, paths)):
                    found[call_id] = why
        return found

    def spools(self, call_id: str) -> list[Path]:
        """The spools of a call, by life; none while one is written, or another may follow."""
        found = self._spools.of(call_id)
        return found if self._finished(call_id, found) else []

    def left(self, closed: Collection[str], why: Mapping[str, str]) -> tuple[LeftSpool, ...]:
        """Spools untouched for minutes: of these calls, or nobody's.

        `why`: what was said when a call's were tried.
        """
        now = time.time()
        found = []
        for path in sorted(self._spools.all()):
            match = NAME.fullmatch(path.name)
            call_id = match[1] if match else ""
            if call_id and call_id not in closed:
                continue
            with contextlib.suppress(OSError):  # it was indexed meanwhile
                since = path.lstat().st_mtime
                if abs(now - since) >= _LEFT_S:  # or of the future: nobody writes to it either
                    name = os.fsencode(path.name).decode(errors="backslashreplace")
                    found.append(LeftSpool(name, call_id, since, why.get(call_id, "")))
        return tuple(found)

    def size(self, call_id: str) -> int:
        """Bytes of the spools of a call."""
        return _bytes(self._spools.of(call_id))

    def _finished(self, call_id: str, spools: Iterable[Path]) -> bool:
        """Whether nobody writes to these, and no other will follow."""
        if (self._folders.checkpoints / f"{call_id}.call").exists():
            return False
        try:
            return not any(is_live(path) for path in spools)
        except (OSError, SpoolError):
            return False

    def seal(self, call_id: str) -> Sealed | Alarm | None:
        """The recording of a call, or why there is none; None when it has no closed spool."""
        spools = self.spools(call_id)
        if not spools:
            return None
        if self._place() != self._began_at:
            text = "the archive's disk is another than at the start: mount it again, or restart us"
            return Alarm("recording.not_sealed", call_id, text)
        if self._disposals.path(call_id).exists():
            return self._disposed_of(call_id, spools)
        return self._seal(call_id, spools)

    def _seal(self, call_id: str, spools: list[Path]) -> Sealed | Alarm:
        following = self._apprentice.hand_over(call_id)
        try:
            recipients = RecipientSet.load(self._folders.recipients, self._officer_key)
            keys = self._keys(spools)
            recording = self._archive.seal(call_id, spools, keys, recipients, following)
            return sealed_message(recording, tuple(sorted(keys.spool_keys)))
        except KeySetError as error:
            return Alarm("recording.no_recipients", call_id, f"{error}; {error.hint}")
        except SpoolKeyError:
            return Alarm(
                "recording.locked",
                call_id,
                "its spool is of another boot: it stays as it is, for the archive's recipients",
            )
        except RecordingError as error:
            return Alarm("recording.not_sealed", call_id, str(error))
        except OSError as error:
            return Alarm("recording.not_sealed", call_id, error.strerror or type(error).__name__)
        finally:
            if following is not None:
                following.discard()

    def _disposed_of(self, call_id: str, spools: Iterable[Path]) -> Alarm | None:
        """What came to light of a call that was disposed of goes, too, if we certified that."""
        if self._disposals.find(call_id) is None:
            why = "a certificate of its disposal lies there that this node did not sign"
            return Alarm("recording.not_sealed", call_id, why)
        self._remove(spools)
        log.info("spool.disposed", call_id=call_id)
        return None

    def follow(self, enough: Callable[[], bool]) -> None:
        """Seal what is final of the calls that go on, until `enough` or nothing more is there."""
        self._apprentice.follow(enough)

    def let_go(self) -> None:
        """Forget what was followed: nothing of it outlives this process."""
        self._apprentice.let_go()

    def _keys(self, spools: Iterable[Path] = ()) -> SpoolKeys:
        """What opens spools; for these, what officers have recovered too."""
        folder = self._folders.runtime_keys
        recovered = recovered_keys(folder, spools)
        ours, *further = self._boot_keys() or [None]
        return SpoolKeys(ours, folder, recovered, tuple(filter(None, further)))

    def _boot_keys(self) -> list[bytes | None]:
        """Those that are there, of which a disk may keep one. Raises `KeyFileError`: of none."""
        found, unread = [], None
        for path in self._folders.boot_keys:
            try:
                found.append(load_boot_key(path))
            except KeyFileError as error:
                unread = error
        if unread is not None and not any(found):
            raise unread
        return list(filter(None, found))

    def forget(self, call_id: str) -> None:
        """Unlink the spools of a call that the index has: those its recording was made of."""
        manifest = self._archive.find(call_id)
        made_of = set() if manifest is None else {life.life for life in manifest.lives}
        self._remove(path for path in self.spools(call_id) if life_of(path) in made_of)

    def _remove(self, spools: Iterable[Path]) -> None:
        for path in spools:
            shred_recovered(self._folders.runtime_keys, path)
            for each in self._spools.copies(path):
                remove_spool(each, self._folders.runtime_keys)

    def amend(self, order: ArchiveOrder) -> ArchiveReply:
        """Do what the desk asks of a recording that is sealed. Refused, nothing has changed."""
        try:
            content = self._amended(order)
        except RecordingError as error:
            return ArchiveReply(order.ref, str(error))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            return ArchiveReply(order.ref, f"the archive cannot be written: {reason}")
        return ArchiveReply(order.ref, content=content)

    def _amended(self, order: ArchiveOrder) -> bytes:
        match order:
            case StageHeader():
                known = order.call_id, order.payload_sha256
                return self._headers.stage(*known, order.header, order.record)
            case CommitHeader():
                known = order.call_id, order.payload_sha256
                self._headers.commit(*known, order.header_sha256)
            case Dispose():
                place = AuditPlace(order.audit_node, order.audit_seq, order.audit_hash)
                known = order.call_id, order.payload_sha256
                return self._disposals.dispose(Order(*known, order.reason, order.actor, place))
            case Prove():
                return msgspec.msgpack.encode(self._proven(order))
        return b""

    def _proven(self, order: Prove) -> Proven:
        if self._spools.of(order.call_id):
            raise ArchiveError("its spool is still there: it is indexed when that is sealed")
        found = prove(
            self._folders.archive,
            order.call_id,
            (self._public_key, *order.node_keys),
            (self._officer_key, *order.officer_keys),
        )
        sealed = sealed_message(found.recording)
        if found.disposal is None:
            return Proven(sealed, found.node_key)
        return Proven(sealed, found.node_key, disposed_at(found.disposal), found.disposal.reason)


def _unreadable(path: Path) -> str:
    """Why nobody can look into it; empty if one can, or if it is gone."""
    try:
        is_live(path)
    except SpoolError as error:
        return str(error)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) and not path.is_symlink()
        return "" if gone else f"{path.name}: {(error.strerror or '').lower()}"
    return ""


def _bytes(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):  # it was indexed meanwhile; or sealing says why
            total += path.stat().st_size
    return total


def sealed_message(recording: SealedRecording, recovered: tuple[int, ...] = ()) -> Sealed:
    """What the desk is told of a recording; `recovered`: spools whose keys officers brought."""
    manifest, personal = recording.manifest, recording.personal or Personal()
    return Sealed(
        call_id=manifest.call_id,
        folder=recording.folder,
        started=manifest.started_us / 1_000_000,
        talk_us=manifest.talk_us,
        interrupted=manifest.interrupted,
        number=personal.number,
        line=personal.line,
        advisor=personal.advisor,
        extension=personal.extension,
        gaps=tuple(
            GapFacts(gap.reason, gap.trigger, gap.actor, gap.from_us, gap.to_us)
            for gap in manifest.gaps
        ),
        payload_size=manifest.payload.size,
        payload_sha256=manifest.payload.sha256,
        manifest_sha256=recording.manifest_sha256,
        unexplained_us=manifest.unexplained_us,
        personal=recording.personal is not None,
        raw_size=0 if manifest.raw is None else manifest.raw.size,
        undecoded=0 if manifest.raw is None else manifest.raw.packets,
        recovered=recovered,
    )


def alarms_of(sealed: Sealed) -> Iterable[Alarm]:
    """What a person must know of a recording that was sealed all the same."""
    if sealed.unexplained_us:
        seconds = f"{sealed.unexplained_us / 1e6:.1f} s"
        yield Alarm("recording.unexplained", sealed.call_id, f"{seconds} of talk are unexplained")
    if sealed.undecoded:
        packets = f"{sealed.undecoded} packet" + "s" * (sealed.undecoded > 1)
        yield Alarm("recording.undecoded", sealed.call_id, f"{packets} kept as they came")
    if sealed.interrupted:
        yield Alarm("recording.interrupted", sealed.call_id, "it ends where the switch stopped")
