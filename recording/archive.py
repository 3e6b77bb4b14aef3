"""The archive: `YYYY/MM/DD/ID.payload`, `ID.header`, `ID.manifest`, committed in this order.

A recording exists when its manifest does. Each object is written beside its place, brought to
the disk and renamed; whatever is found half done is done again from the spools, which go only
when the index has the recording. Plaintext never touches the disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.age import make_header
from recording.call_facts import CallFacts, Personal
from recording.errors import ArchiveError, ManifestError
from recording.keys import RecipientSet, public_text
from recording.manifest import FORMAT, Manifest, Payload, read_manifest, sign_manifest
from recording.sealing import Sound, SpoolKeys, damage_of, write_sound
from recording.spool import EventRecord

_CALL_ID = re.compile(r"(\d{4})(\d{2})(\d{2})-\d{6}-[a-z2-7]{8}")
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Node:
    """Who seals: its name, its version and its signing key."""

    name: str
    software: str
    key: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SealedRecording:
    """A recording that lies complete in the archive."""

    manifest: Manifest
    manifest_sha256: str
    folder: str
    """Relative to the archive."""
    personal: Personal


def folder_of(call_id: str) -> str:
    """`YYYY/MM/DD` of the call. Raises `ArchiveError` for what is no call id."""
    match = _CALL_ID.fullmatch(call_id)
    if match is None:
        raise ArchiveError("this is no call id")
    return "/".join(match.groups())


class Archive:
    """Seals calls into a folder; a call that is sealed already is not sealed again."""

    def __init__(self, root: Path, node: Node) -> None:
        self._root = root
        self._node = node

    def path(self, call_id: str, suffix: str) -> Path:
        """Where an object lies: `suffix` is payload, header or manifest."""
        return self._root / folder_of(call_id) / f"{call_id}.{suffix}"

    def seal(
        self, call_id: str, spools: Sequence[Path], keys: SpoolKeys, recipients: RecipientSet
    ) -> SealedRecording:
        """Make the recording of a call from its spools.

        Raises:
            SpoolKeyError: no key at hand opens a spool.
            SpoolError: a spool has no header that can be read.
            ArchiveError: it cannot be sealed; or it is sealed from spools that are gone, and
                these are others.
            OSError: the disk refuses.
        """
        lives = {int(path.name.split(".")[1]) for path in spools}
        done = self.find(call_id)
        if done is not None:
            sealed = {life.life for life in done.lives}
            if lives <= sealed:
                return self._described(done, _personal_of(spools, keys))
            if not sealed <= lives:
                raise ArchiveError("another spool of this call came after it was archived")
        return self._seal(call_id, spools, keys, recipients)

    def find(self, call_id: str) -> Manifest | None:
        """The manifest of a recording that is there and is what this node signed."""
        try:
            data = self.path(call_id, "manifest").read_bytes()
            manifest = read_manifest(data, public_text(self._node.key.public_key()))
            size = self.path(call_id, "payload").stat().st_size
        except (FileNotFoundError, ManifestError):
            return None
        there = self.path(call_id, "header").exists() and size == manifest.payload.size
        return manifest if there and manifest.call_id == call_id else None

    def _seal(
        self, call_id: str, spools: Sequence[Path], keys: SpoolKeys, recipients: RecipientSet
    ) -> SealedRecording:
        payload = self.path(call_id, "payload")
        _make_folder(payload.parent, self._root)
        with _committed(payload) as fd:
            sound = write_sound(fd, spools, keys, call_id)
            digest = _digest(fd)
        _write(self.path(call_id, "header"), make_header(sound.file_key, recipients.recipients))
        manifest = self._manifest(call_id, sound, recipients, digest)
        _write(self.path(call_id, "manifest"), sign_manifest(manifest, self._node.key))
        return self._described(manifest, sound.facts.personal)

    def _described(self, manifest: Manifest, personal: Personal) -> SealedRecording:
        data = self.path(manifest.call_id, "manifest").read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        return SealedRecording(manifest, digest, folder_of(manifest.call_id), personal)

    def _manifest(
        self, call_id: str, sound: Sound, recipients: RecipientSet, payload: Payload
    ) -> Manifest:
        facts: CallFacts = sound.facts
        return Manifest(
            format=FORMAT,
            call_id=call_id,
            node=self._node.name,
            software=self._node.software,
            started=datetime.fromtimestamp(facts.started_us // 1_000_000, UTC).strftime(
                f"%Y-%m-%dT%H:%M:%S.{facts.started_us % 1_000_000:06d}Z"
            ),
            started_us=facts.started_us,
            talk_us=sound.talk_us,
            rate=sound.rate,
            tracks=sound.tracks,
            segments=facts.segments,
            gaps=facts.gaps,
            unexplained=facts.unexplained(sound.talk_us),
            interrupted=facts.ended_us is None,
            damaged=any(life.damaged or life.truncated for life in sound.lives),
            faults=[*facts.faults, *damage_of(sound)],
            lives=sound.lives,
            clock=facts.clock,
            recipients=list(recipients.fingerprints),
            recipients_serial=recipients.serial,
            payload=payload,
            sealed=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )


def _personal_of(spools: Sequence[Path], keys: SpoolKeys) -> Personal:
    """The personal facts alone, for an index that has not got them yet."""
    facts = CallFacts(0)
    for path in spools:
        with keys.open(path) as reader:
            for record in reader:
                if isinstance(record, EventRecord):
                    facts.event(0, record)
    return facts.personal


def _make_folder(folder: Path, root: Path) -> None:
    """The folder of a day, each new name of it brought to the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)
    _sync_folder(root)


@contextmanager
def _committed(path: Path) -> Iterator[int]:
    """A file that appears under its name, on the disk, when no error leaves the block."""
    part = path.with_name(f".{path.name}.part")
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        yield fd
        os.fsync(fd)
        part.rename(path)
        _sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _write(path: Path, data: bytes) -> None:
    with _committed(path) as fd:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]


def _digest(fd: int) -> Payload:
    """What lies in the file, read back."""
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(fd, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
    return Payload(offset, digest.hexdigest())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
