"""The archive: it stores each recording as several files (objects) in the folder `YYYY/MM/DD`.

The objects are committed in this sequence: `ID.raw` (only if some packets could not be decoded),
`ID.payload`, `ID.header`, `ID.manifest`. A recording exists only if its manifest exists.

To commit an object means to write it under a temporary name, sync it and rename it. An incomplete
recording is made again from its spools, which are removed only after the index has the recording.
Plaintext is never written to the disk.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from msgspec.structs import replace

from recording.age.header import make_header
from recording.archive.call_facts import CallFacts
from recording.archive.commitments import commit, match, seal_facts
from recording.archive.disposal import CERTIFICATE, Certificate
from recording.archive.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    ObjectFacts,
    RawFacts,
    SealingNode,
    folder_of,
    read_manifest,
    sign_manifest,
)
from recording.archive.sealing import LiveSealing, SealedAudio, seal_audio, spool_faults
from recording.archive.summary import PersonalFacts
from recording.archive.verify import verify_recording
from recording.audio.payloads import RawPayload
from recording.errors import ArchiveError, ManifestError, RecordingError, SpoolKeyError
from recording.files.atomic import PendingFile, committed, locked, make_folder, write_atomic
from recording.keys.keyring import RecipientSet, public_text
from recording.keys.signed_document import unverified_key
from recording.spool import EventRecord, SpoolHeader
from recording.spool.recovery import SpoolKeys

_BLOCK: Final = 1 << 20
_Objects: TypeAlias = tuple[SealedAudio, ObjectFacts, RawFacts | None]


@dataclass(frozen=True, slots=True)
class SealedRecording:
    """A recording that is complete in the archive."""

    manifest: Manifest
    manifest_sha256: str
    folder: str
    """Relative to the archive."""
    personal: PersonalFacts | None
    """The facts about people. They match the manifest's commitments, if it has commitments.

    None if the facts are unknown, for example because a spool of the call no longer exists.
    """


class Archive:
    """Stores the recordings of calls in a folder.

    A call with a complete recording is sealed again only if it has a new spool. Several threads may
    use an `Archive`, and several processes the same folder. Only one at a time may seal a call.
    """

    def __init__(self, root: Path, node: SealingNode, near_pause_s: float = 0.0) -> None:
        self._root = root
        self._node = node
        self._near_pause_s = near_pause_s

    @property
    def free_bytes(self) -> int:
        """The number of free bytes on the archive's disk. Raises `OSError`."""
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def path(self, call_id: str, suffix: str) -> Path:
        """Return the path of one of a recording's files by its suffix. The file may be missing."""
        return self._root / folder_of(call_id) / f"{call_id}.{suffix}"

    def begin_live(self, call_id: str, spool: Path, keys: SpoolKeys) -> LiveSealing:
        """Begin to seal a call in progress, which has only this spool. Raises as `seal`."""
        payload = self.path(call_id, "payload")
        self._make_folder(payload.parent)
        part = PendingFile(payload)
        try:
            raw = RawPayload(self.path(call_id, "raw"))
            near = self._near_pause_s
            return LiveSealing(part, raw, spool, keys, call_id, near_pause_s=near)
        except BaseException:
            part.discard()
            raise

    def seal(
        self,
        call_id: str,
        spools: Sequence[Path],
        keys: SpoolKeys,
        recipients: RecipientSet,
        following: LiveSealing | None = None,
    ) -> SealedRecording:
        """Make the recording of a call from its spools, unless it was made from all of them before.

        If `following`, the sealing that began during the call, succeeds, its payload is used.

        Raises:
            SpoolKeyError: The call must be sealed, and has a spool that none of the keys opens.
            SpoolError: There is no spool, or one has no readable header.
            ArchiveError: The call cannot be sealed. Or it has a recording and a new spool, but a
                spool from which this recording was made is not in `spools`.
            OSError: A read or write on the disk failed.
        """
        lives = {_life_of(path) for path in spools}
        done = self.find(call_id)
        if done is not None:
            sealed = {life.life for life in done.lives}
            if lives <= sealed:
                return self._described(done, _committed_facts(done, _personal_of(spools, keys)))
            if not sealed <= lives:
                raise ArchiveError("this call got another spool after it was archived")
        made = None if following is None else _finish_live(following, spools)
        sound, payload, raw = made or self._payload(call_id, spools, keys)
        header = make_header(sound.file_key, recipients.recipients)
        # This record is about a rewrap of the old header. A new header is written below.
        self.path(call_id, "rewrap").unlink(missing_ok=True)
        write_atomic(self.path(call_id, "header"), header)
        header_facts = ObjectFacts(len(header), hashlib.sha256(header).hexdigest())
        manifest = self._manifest(call_id, sound, recipients, (payload, header_facts, raw))
        write_atomic(self.path(call_id, "manifest"), sign_manifest(manifest, self._node.key))
        return self._described(manifest, sound.facts.personal)

    def find(self, call_id: str) -> Manifest | None:
        """Return the manifest of a complete recording that this node signed, or None."""
        try:
            data = self.path(call_id, "manifest").read_bytes()
            manifest = read_manifest(data, public_text(self._node.key.public_key()))
            size = self.path(call_id, "payload").stat().st_size
            raw_size = self.path(call_id, "raw").stat().st_size if manifest.raw else 0
        except (FileNotFoundError, ManifestError):
            return None
        there = self.path(call_id, "header").exists() and size == manifest.payload.size
        there = there and raw_size == (manifest.raw.size if manifest.raw else 0)
        return manifest if there and manifest.call_id == call_id else None

    def _make_folder(self, folder: Path) -> None:
        """Make the folder for the recordings of one day, if it does not exist yet.

        Only one thread of one process at a time does this. The others wait, so none of them uses a
        folder before its name is on the disk.
        """
        if not self._root.exists():
            make_folder(self._root, self._root.parent)
        with locked(self._root):
            make_folder(folder, self._root)

    def _payload(self, call_id: str, spools: Sequence[Path], keys: SpoolKeys) -> _Objects:
        path = self.path(call_id, "payload")
        self._make_folder(path.parent)
        with committed(path) as fd, RawPayload(self.path(call_id, "raw")) as raw:
            near = self._near_pause_s
            sound = seal_audio(fd, raw, spools, keys, call_id, near_pause_s=near)
            return sound, _digest(fd), _raw_facts(raw)

    def _described(self, manifest: Manifest, personal: PersonalFacts | None) -> SealedRecording:
        data = self.path(manifest.call_id, "manifest").read_bytes()
        return sealed_recording(manifest, data, personal)

    def _manifest(
        self,
        call_id: str,
        sound: SealedAudio,
        recipients: RecipientSet,
        objects: tuple[ObjectFacts, ObjectFacts, RawFacts | None],
    ) -> Manifest:
        facts = sound.facts
        personal = facts.personal
        payload, header, raw = objects
        return Manifest(
            format=FORMAT,
            call_id=call_id,
            node=self._node.name,
            software=self._node.software,
            started=datetime.fromtimestamp(facts.started_us // 1_000_000, UTC).strftime(
                f"%Y-%m-%dT%H:%M:%S.{facts.started_us % 1_000_000:06d}Z"
            ),
            started_us=facts.started_us,
            talk_us=facts.talk_us,
            rate=sound.rate,
            tracks=sound.tracks,
            segments=facts.segments,
            gaps=facts.gaps,
            unexplained=facts.unexplained,
            interrupted=facts.ended_us is None,
            damaged=any(life.damaged or life.truncated for life in sound.lives),
            faults=[*facts.faults, *spool_faults(sound)],
            lives=sound.lives,
            clock=facts.clock,
            recipients=list(recipients.fingerprints),
            recipients_serial=recipients.serial,
            payload=payload,
            header=header,
            raw=raw,
            index=commit(call_id, personal) if personal.salt else None,
            sealed_facts=seal_facts(personal, sound.file_key) if personal.salt else None,
            packets=sound.packets,
            triggers=facts.triggers,
            sealed=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )


def sealed_recording(
    manifest: Manifest, data: bytes, personal: PersonalFacts | None
) -> SealedRecording:
    """Return the recording that a manifest (whose file is `data`) describes."""
    digest = hashlib.sha256(data).hexdigest()
    return SealedRecording(manifest, digest, folder_of(manifest.call_id), personal)


def _finish_live(following: LiveSealing, spools: Sequence[Path]) -> _Objects | None:
    """Commit what was sealed during the call; None if it fails or there are other spools.

    An error is not reported: `Archive.seal` then seals the call from its spools, and reports an
    error that occurs again.
    """
    try:
        sound = following.finish() if list(spools) == [following.spool] else None
        if sound is None:
            return None
        payload = _digest(following.part.fd)
        raw = _raw_facts(following.raw)
        following.part.commit()
    except (RecordingError, OSError):
        return None
    else:
        return sound, payload, raw
    finally:
        following.discard()


def _life_of(spool: Path) -> int:
    return int(spool.name.split(".")[1])


def _personal_of(spools: Sequence[Path], keys: SpoolKeys) -> PersonalFacts | None:
    """Read the personal facts again from the spools, because the index may not have them yet.

    Their times are computed as in `recording.archive.sealing`, because the manifest has a
    commitment to them. None if there is a spool that none of the keys opens.
    """
    facts = CallFacts(0)
    first: SpoolHeader | None = None
    try:
        for path in sorted(spools, key=_life_of):
            with keys.open(path) as reader:
                facts.begin_spool(reader.index_salt)
                first = first or reader.header
                shift_us = reader.header.us_after(first)
                for record in reader:
                    if not isinstance(record, EventRecord):
                        continue
                    facts.event(facts.offset_of(record, record.at_us + shift_us), record)
    except SpoolKeyError:
        return None
    return facts.personal


def _committed_facts(manifest: Manifest, personal: PersonalFacts | None) -> PersonalFacts | None:
    """Return the personal facts if they match the commitments in the manifest; otherwise None.

    They do not match if the first spool was already removed, because it had the salt and the
    caller's number. If the manifest has no commitments, return the facts without a salt.
    """
    if personal is None:
        return None
    if manifest.index is None:
        return replace(personal, salt="")
    return personal if match(personal, manifest) else None


def _raw_facts(raw: RawPayload) -> RawFacts | None:
    """Commit the file with the undecodable packets, and return its facts; None if it is empty."""
    fd = raw.close()
    facts = _digest(fd) if fd >= 0 else None
    raw.commit()
    return None if facts is None else RawFacts(facts.size, facts.sha256, raw.packets)


def _digest(fd: int) -> ObjectFacts:
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(fd, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
    return ObjectFacts(offset, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class VerifiedRecording:
    """A recording that matches its manifest or was disposed of. `node_key` signed the manifest."""

    recording: SealedRecording
    node_key: str
    """The key of a trusted node, in base64."""
    disposal: Certificate | None
    """The certificate of the recording's disposal; None if the recording was not disposed of."""


def verify_unindexed(
    archive: Path, call_id: str, node_keys: Collection[str], officer_keys: Collection[str] = ()
) -> VerifiedRecording:
    """Verify a recording that has no row in the index, or its disposal certificate.

    The facts about people in the result are None, because the manifest does not have them in clear.
    One of the nodes with `node_keys` (base64) must have signed the manifest. If the header was
    rewrapped, `officer_keys` must have the key of the officer who did it.

    Raises:
        ArchiveError: The recording is incomplete or was changed, or no node in `node_keys` signed
            its manifest. The error's text says what is wrong.
        OSError: A read on the disk failed.
    """
    folder = archive / folder_of(call_id)
    try:
        data = (folder / f"{call_id}.manifest").read_bytes()
        manifest = MANIFEST.read(data, node_keys)
        disposal = _disposal(folder / f"{call_id}.disposal", node_keys)
    except FileNotFoundError:
        raise ArchiveError("its manifest is missing") from None
    except ManifestError as error:
        raise ArchiveError(str(error)) from None
    key = unverified_key(data)
    if manifest.call_id != call_id:
        raise ArchiveError(f"the manifest belongs to {manifest.call_id}")
    if disposal is None:
        verdict = verify_recording(folder, call_id, node_keys=(key,), officer_keys=officer_keys)
        if verdict.problems:
            raise ArchiveError("; ".join(verdict.problems))
    elif (disposal.call_id, disposal.payload) != (call_id, manifest.payload):
        raise ArchiveError("the disposal certificate belongs to another recording")
    return VerifiedRecording(sealed_recording(manifest, data, None), key, disposal)


def _disposal(path: Path, node_keys: Collection[str]) -> Certificate | None:
    try:
        return CERTIFICATE.read(path.read_bytes(), node_keys)
    except FileNotFoundError:
        return None
