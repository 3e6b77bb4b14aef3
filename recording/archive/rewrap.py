"""Rewrapping: makes a new header, for other recipients, with the file key of the old header.

This needs an age identity that opens the old header. The officer signs a record that says which
header is in force. The record is the file `ID.rewrap`, beside the manifest.

In the archive, a header is replaced in two steps. First, `HeaderStore.stage` writes the new header
to a separate file and reads it back, and the officer's client verifies these bytes. Then
`HeaderStore.commit` replaces the old header. The server has no age identity, so it cannot check
whether a header opens its payload. Therefore it accepts a new header only if the officer signed a
record about it. The record must be for the set of recipients in force, and must name the header
that is in the archive now.

Rewrapping does not withdraw access: a person who knows the payload's file key can still decrypt the
payload.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.age.file import Identity
from recording.age.header import X25519, Header, make_header, x25519_share
from recording.archive.manifest import (
    Manifest,
    ObjectFacts,
    RecordingDocument,
    folder_of,
    verify_manifest,
)
from recording.errors import HeaderError, KeySetError, ManifestError, RewrapError
from recording.files.atomic import sync_file, sync_folder, write_unsynced, zero_fill
from recording.keys.keyring import RecipientSet, RecipientsFile
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-rewrap-1"
UNPROVEN: Final = "the header was replaced: only the officer's key proves by whom (--officer-key)"
_COMMIT_ORDER: Final = ("rewrap", "header")
_AGAIN: Final = "rewrap the recording again"


class Rewrap(RecordingDocument, frozen=True):
    """The record about a rewrap. It identifies the recording, its old header and its new header."""

    payload_sha256: str
    """The SHA-256 of the recording's payload, which a rewrap does not change."""
    replaces: str
    """The SHA-256 of the old header."""
    header: ObjectFacts
    """The size and digest of the new header."""
    recipients: list[str]
    """The fingerprints of the recipients who can open the new header."""
    recipients_serial: int
    made: str


REWRAP: Final = DocumentType("rewrap", FORMAT, Rewrap, "officer")


def facts_of(data: bytes) -> ObjectFacts:
    """Return the length and the SHA-256 of these bytes."""
    return ObjectFacts(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new header and the signed record about it. Only the officer's client has this object."""

    header: bytes
    record: bytes
    _file_key: bytes = field(repr=False)
    _openers: tuple[Identity, ...] = field(repr=False)
    """The officer's identities that can open the new header."""

    def verify(self, found: bytes) -> None:
        """Check the header that the server read back from its disk.

        Raises `RewrapError` if `found` is not the new header or has another file key. Raises
        `AgeError` if its MAC is wrong or one of `_openers` cannot open it.
        """
        if found != self.header:
            raise RewrapError("the server has stored another header than it received")
        header = Header.parse(found)
        header.verified(self._file_key)
        for identity in self._openers:
            if not hmac.compare_digest(header.unwrap([identity]), self._file_key):
                raise RewrapError("the new header has another file key than the old one")


def rewrap(
    manifest: Manifest,
    header: bytes,
    identities: Sequence[Identity],
    recipients: RecipientSet,
    signing: Ed25519PrivateKey,
) -> Replacement:
    """Make a new header for these recipients, and sign a record about it.

    Raises `AgeError` if no identity opens the present header, or the header was changed.
    """
    file_key = Header.parse(header).unwrap(identities)
    new = make_header(file_key, recipients.recipients)
    record = Rewrap(
        format=FORMAT,
        call_id=manifest.call_id,
        payload_sha256=manifest.payload.sha256,
        replaces=facts_of(header).sha256,
        header=facts_of(new),
        recipients=list(recipients.fingerprints),
        recipients_serial=recipients.serial,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    named = set(recipients.recipients)
    openers = tuple(identity for identity in identities if identity.recipient in named)
    return Replacement(new, REWRAP.sign(record, signing), file_key, openers)


def check_stanzas(header: bytes, recipients: int) -> None:
    """Check that the header has exactly this number of X25519 stanzas, all different.

    Only an identity can show to which recipients they belong. Raises `HeaderError`.
    """
    parsed = Header.parse(header)
    if len(parsed.stanzas) != recipients:
        raise HeaderError(
            f"the header has {len(parsed.stanzas)} stanzas, but the set has {recipients} recipients"
        )
    if any(stanza.kind != X25519 for stanza in parsed.stanzas):
        raise HeaderError("the header has a stanza of another type than X25519")
    if len({x25519_share(stanza) for stanza in parsed.stanzas}) != recipients:
        raise HeaderError("two stanzas of the header are the same")


def read_rewrap(manifest: Manifest, record: bytes, officer_keys: Collection[str]) -> Rewrap:
    """Return the record (`ID.rewrap`) of a recording's latest rewrap, if an officer signed it.

    Raises `ManifestError` if it is malformed, is about another recording, or is signed with a key
    that is not in `officer_keys`.
    """
    read = REWRAP.read(record, officer_keys)
    if (read.call_id, read.payload_sha256) != (manifest.call_id, manifest.payload.sha256):
        raise ManifestError("the rewrap record names another recording")
    return read


class HeaderStatus(Enum):
    """The origin of the header that a recording has in the archive.

    An `EARLIER` header is older than the most recent rewrap, which should have replaced it.
    """

    FIRST = "as it was sealed"
    REWRAPPED = "that of the last rewrap"
    EARLIER = "from before the last rewrap"
    UNKNOWN = "not named by any signed document"


@dataclass(frozen=True, slots=True)
class HeaderVerdict:
    """The origin of a recording's header, and a text that says what is wrong, or "".

    `record` is that of the most recent rewrap; None if the check did not use it.
    """

    header: HeaderStatus
    problem: str = ""
    record: Rewrap | None = None


def classify_header(
    manifest: Manifest, found: ObjectFacts, record: bytes | None, officer_keys: Collection[str]
) -> HeaderVerdict:
    """Check a header against the manifest and the record of the most recent rewrap.

    Manifests of older software do not contain the digest of the header. With such a manifest, every
    header is accepted if `record` is None. With a record but without officers' keys, the header
    must have the digest in the manifest.
    """
    first = manifest.header in {None, found}
    otherwise = HeaderStatus.FIRST if first else HeaderStatus.UNKNOWN
    if record is None:
        return HeaderVerdict(otherwise, "" if first else _difference(manifest.header, found))
    if not officer_keys:
        return HeaderVerdict(otherwise, "" if manifest.header == found else UNPROVEN)
    try:
        return _by_record(manifest, found, read_rewrap(manifest, record, officer_keys))
    except ManifestError as error:
        return HeaderVerdict(otherwise, str(error))


def _by_record(manifest: Manifest, found: ObjectFacts, read: Rewrap) -> HeaderVerdict:
    if read.header == found:
        return HeaderVerdict(HeaderStatus.REWRAPPED, "", read)
    if manifest.header == found or read.replaces == found.sha256:
        text = "the header is from before its last rewrap: rewrap the recording again"
        return HeaderVerdict(HeaderStatus.EARLIER, text, read)
    return HeaderVerdict(HeaderStatus.UNKNOWN, _difference(read.header, found), read)


def _difference(expected: ObjectFacts | None, found: ObjectFacts) -> str:
    return "" if expected is None else difference("header", expected, found.size)


def difference(name: str, expected: ObjectFacts, size: int) -> str:
    """Return a text that says how an object differs from the one that was signed.

    If `size` (in bytes) is right, the digest must be wrong.
    """
    if size < expected.size:
        return f"the {name} is incomplete: {size} of {expected.size} bytes"
    if size > expected.size:
        return f"the {name} has {size - expected.size} bytes too many"
    return f"the {name} was changed or swapped: it has another digest"


@dataclass(frozen=True, slots=True)
class HeaderStore:
    """The headers of an archive. The officer who signs the set of recipients signs each rewrap.

    Each method raises `OSError`, or `RewrapError` if it does not accept a new header. After a
    `RewrapError`, the old header is unchanged.
    """

    archive: Path
    recipients: RecipientsFile

    def stage(self, call_id: str, payload_sha256: str, header: bytes, record: bytes) -> bytes:
        """Write a new header and its record to separate files; return the header, read back.

        `payload_sha256` is from the index. `record` is for the file `ID.rewrap`.
        """
        place = _RecordingFiles(self.archive / folder_of(call_id), call_id)
        self._check(place, payload_sha256, header, record)
        write_unsynced(place.staged("rewrap"), record)
        write_unsynced(place.staged("header"), header)
        return place.staged("header").read_bytes()

    def commit(self, call_id: str, payload_sha256: str, header_sha256: str) -> None:
        """Replace the header and the rewrap record by the new ones that `stage` has written.

        If no new header is staged, and the header in the archive already has `header_sha256`,
        nothing is changed.

        The record is replaced before the header. After a crash between these two steps, the officer
        must run the rewrap again. The officer's client then accepts the old header, because the new
        record contains its SHA-256 too.

        When the new header is on the disk, the old header's data is overwritten with zeros, because
        the old header could still open the recording after a disposal.
        """
        place = _RecordingFiles(self.archive / folder_of(call_id), call_id)
        try:
            header = place.staged("header").read_bytes()
            record = place.staged("rewrap").read_bytes()
        except FileNotFoundError:
            place.refuse_if_disposed()
            if facts_of(place.header()).sha256 == header_sha256:
                return
            raise RewrapError(f"no new header is staged: {_AGAIN}") from None
        if facts_of(header).sha256 != header_sha256:
            raise RewrapError(f"another header was staged meanwhile: {_AGAIN}")
        self._check(place, payload_sha256, header, record)
        for suffix in _COMMIT_ORDER:
            sync_file(place.staged(suffix))
        with place.path("header").open("r+b", buffering=0) as old:
            for suffix in _COMMIT_ORDER:
                place.staged(suffix).rename(place.path(suffix))
                sync_folder(place.folder)
            zero_fill(old)

    def _check(
        self, place: _RecordingFiles, payload_sha256: str, header: bytes, record: bytes
    ) -> None:
        place.refuse_if_disposed()
        try:
            recipients = self.recipients.load().recipients
            signed = REWRAP.read(record, (self.recipients.officer_key,))
            check_stanzas(header, len(recipients.named))
            manifest = place.manifest()
        except (KeySetError, ManifestError, HeaderError) as error:
            raise RewrapError(str(error)) from None
        for wrong in _wrong(signed, manifest, recipients):
            raise RewrapError(wrong)
        if payload_sha256 != manifest.payload.sha256:
            raise RewrapError("the payload's digest in the index is not the one in the manifest")
        if signed.header != facts_of(header):
            raise RewrapError("the rewrap record names another header")
        if signed.replaces != facts_of(place.header()).sha256:
            raise RewrapError(f"the header was replaced meanwhile: {_AGAIN}")


def _wrong(signed: Rewrap, manifest: Manifest, recipients: RecipientSet) -> list[str]:
    """Return the faults of a record about a new header: another recording, or another set."""
    wrong = []
    if (signed.call_id, signed.payload_sha256) != (manifest.call_id, manifest.payload.sha256):
        wrong.append("the rewrap record names another recording")
    in_force = recipients.serial, list(recipients.fingerprints)
    if (signed.recipients_serial, signed.recipients) != in_force:
        wrong.append(
            f"the rewrap record does not match set number {recipients.serial}, which is in force"
        )
    return wrong


@dataclass(frozen=True, slots=True)
class _RecordingFiles:
    """The paths of one recording's files, and of the new files that will replace them."""

    folder: Path
    call_id: str

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.call_id}.{suffix}"

    def staged(self, suffix: str) -> Path:
        return self.folder / f".{self.call_id}.{suffix}.new"

    def refuse_if_disposed(self) -> None:
        if self.path("disposal").exists():
            raise RewrapError("the recording was disposed of")

    def header(self) -> bytes:
        try:
            return self.path("header").read_bytes()
        except FileNotFoundError:
            raise RewrapError("the header is missing: restore it first") from None

    def manifest(self) -> Manifest:
        manifest = verify_manifest(self.path("manifest"))
        if manifest.call_id != self.call_id:
            raise RewrapError(f"the manifest belongs to {manifest.call_id}")
        return manifest
