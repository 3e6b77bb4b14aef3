"""Sealing of calls: turns the spools of a call into a recording in the archive.

This module uses no sockets and no event loop. If a call cannot be sealed, its spools are kept. The
spools of a sealed call are removed when the desk has indexed the recording (`Sealer.forget`). If
the recording was disposed of earlier, spools of its call are removed without being sealed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import structlog

from galwad.finaliser.live_sealer import LiveSealer
from galwad.finaliser.spools import NAME, WHOLE, Share, Spools, life_of
from galwad.messages import (
    Alarm,
    ArchiveReply,
    CommitHeader,
    Dispose,
    ProveSpools,
    Sealed,
    StageHeader,
    VerifiedRecording,
    VerifyRecording,
    WaitingSpool,
)
from recording.archive.disposal import AuditPlace, DisposalOrder, Disposer, disposed_at
from recording.archive.manifest import SealingNode
from recording.archive.packet_ledger import SpoolProof, prove
from recording.archive.rewrap import HeaderStore
from recording.archive.store import Archive, SealedRecording, verify_unindexed
from recording.archive.summary import NO_PERSONAL_FACTS, party_networks
from recording.errors import (
    ArchiveError,
    DisposalError,
    KeyFileError,
    KeySetError,
    RecordingError,
    SpoolError,
    SpoolKeyError,
)
from recording.keys.keyring import (
    RecipientsFile,
    load_boot_key,
    load_or_create_signing_key,
    public_text,
)
from recording.policy import GapReason
from recording.spool import SpoolReader, is_live, remove_spool
from recording.spool.recovery import SpoolKeys, recovered_keys, shred_recovered

_WAITING_S: Final = 300.0
"""In seconds. Sealing takes moments, so a spool that has waited longer is reported to the desk."""
ArchiveIdentity: TypeAlias = tuple[int, int]
"""The device and inode numbers of the archive folder."""
ArchiveOrder: TypeAlias = StageHeader | CommitHeader | Dispose | VerifyRecording | ProveSpools
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Folders:
    """The paths that the finaliser uses."""

    spools: tuple[Path, Path]
    """The first spool folder, and the spool folder on the spare disk."""
    archive: Path
    recipients: Path
    newest_recipients: tuple[Path, ...]
    """The copies of the newest set of recipients that was in force."""
    boot_keys: tuple[Path, ...]
    runtime_keys: Path
    checkpoints: Path
    """The folder of checkpoints, from which the switch continues calls after a crash."""
    node_key: Path


class Sealer:
    """Turns the spools of calls into recordings. Each method blocks the thread that runs it.

    Several threads may use a sealer at the same time, but only for different calls, and only one of
    them may use `follow`.
    """

    def __init__(
        self,
        folders: Folders,
        node: str,
        software: str,
        officer_key: str,
        *,
        near_pause_s: float = 0.0,
        share: Share = WHOLE,
        archive_at_start: ArchiveIdentity | None = None,
    ) -> None:
        """Load or create the node's signing key, and write its public half into the archive folder.

        `recording.audio.captured_card.CardFilter` describes `near_pause_s`. Only the calls of
        `share` are followed. A worker process gets `archive_at_start`, the archive that the
        finaliser has found, and does not write the public half.

        Raises:
            KeyFileError: The signing key cannot be read.
            OSError: The archive folder or the public key in it cannot be written.
        """
        self._folders = folders
        self._officer_key = officer_key
        key = load_or_create_signing_key(folders.node_key)
        self._public_key = public_text(key.public_key())
        ours = SealingNode(node, software, key)
        self._archive = Archive(folders.archive, ours, near_pause_s)
        self._disposals = Disposer(folders.archive, ours)
        self._spools = Spools(*folders.spools)
        self._live_sealer = LiveSealer(self._spools, self._archive, self._keys, share)
        self._recipients = RecipientsFile(
            folders.recipients, folders.newest_recipients, officer_key
        )
        self._headers = HeaderStore(folders.archive, self._recipients)
        self.archive_at_start = archive_at_start or self._prepared(node)

    def _prepared(self, node: str) -> ArchiveIdentity | None:
        self._folders.archive.mkdir(mode=0o750, parents=True, exist_ok=True)
        public = self._folders.archive / f"{node}.pub"
        text = f"{self._public_key}\n"
        if not public.exists() or public.read_text(encoding="ascii") != text:
            public.write_text(text, encoding="ascii")
        return self._archive_identity()

    def _archive_identity(self) -> ArchiveIdentity | None:
        """Return the archive folder's identity; None if the folder is missing.

        If the identity changes, the archive's disk was unmounted or replaced. A recording in an
        empty mount point would be hidden when the disk is mounted again.
        """
        try:
            there = self._folders.archive.stat()
        except OSError:
            return None
        return there.st_dev, there.st_ino

    def closed(self) -> dict[str, int]:
        """Return the size in bytes of complete spools by call id, the oldest call first.

        Raises `OSError` if the folders cannot be listed (see `Spools.all`).
        """
        return {
            call_id: _bytes(paths)
            for call_id, paths in sorted(self._spools.by_call().items())
            if self._finished(call_id, paths)
        }

    def unreadable(self, closed: Collection[str]) -> dict[str, str]:
        """Return the errors of spools that cannot be opened, by call id. Skip calls in `closed`."""
        found = {}
        for call_id, paths in sorted(self._spools.by_call().items()):
            if call_id not in closed:
                errors = filter(None, map(_unreadable, sorted(paths, key=life_of)))
                if text := "; ".join(errors):
                    found[call_id] = text
        return found

    def spools(self, call_id: str) -> list[Path]:
        """Return a call's spools, sorted by life; none while the switch may still write to them."""
        if not self._finished(call_id, self._spools.of(call_id)):
            return []
        # Read the folders again: the copy of an earlier spool may have been completed meanwhile.
        return self._spools.of(call_id)

    def waiting(self, closed: Collection[str], why: Mapping[str, str]) -> tuple[WaitingSpool, ...]:
        """Return the spool files that have waited for `_WAITING_S` seconds.

        A spool of a call that is not in `closed` is left out. A file whose name is not that of a
        spool is included. `why` has the `kind` of the alarm of a call that could not be sealed.
        """
        now = time.time()
        found = []
        for path in sorted(self._spools.all()):
            match = NAME.fullmatch(path.name)
            call_id = match[1] if match else ""
            if call_id and call_id not in closed:
                continue
            # The spool may have been removed since the folder was read.
            with contextlib.suppress(OSError):
                since = path.lstat().st_mtime
                # A wrong clock can have put `since` far into the future. With `abs`, that counts as
                # old.
                if abs(now - since) >= _WAITING_S:
                    name = os.fsencode(path.name).decode(errors="backslashreplace")
                    found.append(WaitingSpool(name, call_id, since, why.get(call_id, "")))
        return tuple(found)

    def size(self, call_id: str) -> int:
        """Return the size of a call's spools in bytes."""
        return _bytes(self._spools.of(call_id))

    def _finished(self, call_id: str, spools: Iterable[Path]) -> bool:
        """Return whether the call's spools are complete; False if one cannot be read.

        They are complete if no process writes to them and the call has no checkpoint. With a
        checkpoint, the switch may begin another spool.
        """
        if (self._folders.checkpoints / f"{call_id}.call").exists():
            return False
        try:
            return not any(is_live(path) for path in spools)
        except (OSError, SpoolError):
            return False

    def seal(self, call_id: str) -> Sealed | Alarm | None:
        """Seal a call from its spools; an alarm says why that failed.

        Return None if the call has no complete spools. Return None too if its recording was
        disposed of earlier: its spools are then removed.
        """
        spools = self.spools(call_id)
        if not spools:
            return None
        if self._archive_identity() != self.archive_at_start:
            text = (
                "the archive is not on the disk that was mounted when the finaliser started: "
                "mount that disk again, or restart the finaliser"
            )
            return Alarm("recording.not_sealed", call_id, text)
        if self._disposals.path(call_id).exists():
            return self._disposed_of(call_id, spools)
        return self._seal(call_id, spools)

    def _seal(self, call_id: str, spools: list[Path]) -> Sealed | Alarm:
        following = self._live_sealer.take(call_id)
        try:
            recipients = self._recipients.load().recipients
            keys = self._keys(spools)
            recording = self._archive.seal(call_id, spools, keys, recipients, following)
            return sealed_message(recording, tuple(sorted(keys.spool_keys)))
        except KeySetError as error:
            return Alarm("recording.no_recipients", call_id, f"{error}; {error.hint}")
        except SpoolKeyError:
            return Alarm(
                "recording.locked",
                call_id,
                "no boot key opens its spool: keep the spool, which a recipient can open",
            )
        except RecordingError as error:
            return Alarm("recording.not_sealed", call_id, str(error))
        except OSError as error:
            return Alarm("recording.not_sealed", call_id, error.strerror or type(error).__name__)
        finally:
            if following is not None:
                following.discard()

    def _disposed_of(self, call_id: str, spools: Iterable[Path]) -> Alarm | None:
        """Remove the spools of a call whose recording was disposed of.

        If this node did not sign the certificate, keep them and return an alarm.
        """
        if self._disposals.find(call_id) is None:
            why = "it has a disposal certificate that this node did not sign"
            return Alarm("recording.not_sealed", call_id, why)
        self._remove(spools)
        log.info("spool.disposed", call_id=call_id)
        return None

    def follow(self, enough: Callable[[], bool]) -> None:
        """Follow the calls in progress until `enough` returns True or nothing more can be done."""
        self._live_sealer.follow(enough)

    def discard_all(self) -> None:
        """Discard what `follow` has begun, because no other process can continue it."""
        self._live_sealer.discard_all()

    def _keys(self, spools: Iterable[Path] = ()) -> SpoolKeys:
        """Return the boot keys, the folder of frame keys, and the keys that officers recovered."""
        folder = self._folders.runtime_keys
        recovered = recovered_keys(folder, spools)
        ours, *further = self._boot_keys() or [None]
        return SpoolKeys(ours, folder, recovered, tuple(filter(None, further)))

    def _boot_keys(self) -> list[bytes | None]:
        """Return all boot keys that exist; None is in the type only for `_keys`.

        Raises `KeyFileError` if a key file cannot be read, and no other key was found.
        """
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
        """Remove the spools from which an indexed recording was made.

        If a spool of the call is not complete yet, remove none.
        """
        spools = self._spools.of(call_id)
        manifest = self._archive.find(call_id)
        if manifest is not None and self._finished(call_id, spools):
            made_of = {life.life for life in manifest.lives}
            self._remove(path for path in spools if life_of(path) in made_of)

    def _remove(self, spools: Iterable[Path]) -> None:
        for path in spools:
            shred_recovered(self._folders.runtime_keys, path)
            for each in self._spools.places(path):
                remove_spool(each, self._folders.runtime_keys)

    def amend(self, order: ArchiveOrder) -> ArchiveReply:
        """Carry out the desk's order about recordings or spools, or reply with the error."""
        try:
            content = self._amended(order)
        except RecordingError as error:
            return ArchiveReply(order.ref, str(error))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            return ArchiveReply(order.ref, f"the archive cannot be read or written: {reason}")
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
                if time.monotonic() > order.until:
                    raise DisposalError("the order is too old: the desk no longer waits for it")
                place = AuditPlace(order.audit_node, order.audit_seq, order.audit_hash)
                known = order.call_id, order.payload_sha256
                return self._disposals.dispose(
                    DisposalOrder(*known, order.reason, order.actor, place, order.rule)
                )
            case VerifyRecording():
                return msgspec.msgpack.encode(self._proven(order))
            case ProveSpools():
                return msgspec.msgpack.encode(tuple(self._spool_findings()))
        return b""

    def _spool_findings(self) -> Iterator[SpoolProof]:
        for call_id, paths in sorted(self._spools.by_call().items()):
            found = self._spool_proof(call_id, sorted(paths, key=life_of))
            if found is not None and found.problems:
                yield found

    def _spool_proof(self, call_id: str, paths: Sequence[Path]) -> SpoolProof | None:
        """Return the findings about one call; None if a spool is gone, or no key here opens it."""
        with contextlib.ExitStack() as stack:
            try:
                keys = self._keys(paths)
                spools: list[SpoolReader] = []
                for path in paths:
                    spools.append(keys.follow(path) if is_live(path) else keys.open(path))
                    stack.callback(spools[-1].close)
                return prove(call_id, spools)
            # Only an officer opens a locked spool, and the alarm `recording.locked` says so.
            except (FileNotFoundError, SpoolKeyError):
                return None
            except (RecordingError, OSError) as error:
                return SpoolProof(call_id, time.time(), unread=f"its spool cannot be read: {error}")

    def _proven(self, order: VerifyRecording) -> VerifiedRecording:
        if self._spools.of(order.call_id):
            raise ArchiveError(
                "its spool still exists: the recording is indexed when the spool is sealed"
            )
        found = verify_unindexed(
            self._folders.archive,
            order.call_id,
            (self._public_key, *order.node_keys),
            (self._officer_key, *order.officer_keys),
        )
        sealed = sealed_message(found.recording)
        if found.disposal is None:
            return VerifiedRecording(sealed, found.node_key)
        return VerifiedRecording(
            sealed, found.node_key, disposed_at(found.disposal), found.disposal.reason
        )


def _unreadable(path: Path) -> str:
    """Return why the spool at `path` cannot be opened; "" if it opens or no longer exists."""
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
        # Either the spool was removed, or sealing will report the error.
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def sealed_message(recording: SealedRecording, recovered: tuple[int, ...] = ()) -> Sealed:
    """Return the message about a recording. `recovered` are the lives that officers opened."""
    manifest, personal = recording.manifest, recording.personal or NO_PERSONAL_FACTS
    return Sealed(
        call_id=manifest.call_id,
        folder=recording.folder,
        started=manifest.started_us / 1_000_000,
        talk_us=manifest.talk_us,
        interrupted=manifest.interrupted,
        **msgspec.structs.asdict(personal),
        gaps=tuple(manifest.gaps),
        network=party_networks(manifest.tracks),
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
    """Yield the alarms that a sealed recording raises, such as one for unexplained talk time."""
    if sealed.unexplained_us:
        seconds = f"{sealed.unexplained_us / 1e6:.1f} s"
        yield Alarm(
            "recording.unexplained", sealed.call_id, f"{seconds} of talk time are unexplained"
        )
    if sealed.undecoded:
        packets = f"{sealed.undecoded} packet" + "s" * (sealed.undecoded > 1)
        yield Alarm("recording.undecoded", sealed.call_id, f"{packets} kept undecoded")
    if captured := [gap for gap in sealed.gaps if gap.reason == GapReason.CAPTURED_CARD.value]:
        silenced_s = sum(gap.length_us for gap in captured) / 1e6
        yield Alarm(
            "recording.captured_card",
            sealed.call_id,
            f"a card number was keyed outside a pause: {silenced_s:.1f} s are silenced",
        )
    if sealed.interrupted:
        yield Alarm("recording.interrupted", sealed.call_id, "it ends where the switch stopped")
