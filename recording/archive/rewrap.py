"""Rewrapping: makes a new header, for other recipients, with the file key of the old header.

This needs an age identity that opens the old header. The officer signs a record that says which
header is in force; it is the file `ID.rewrap`, beside the manifest.

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
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.age.file import Header, Identity, make_header, x25519_share
from recording.age.stanza import X25519
from recording.archive.manifest import Manifest, ObjectFacts
from recording.errors import HeaderError, ManifestError, RewrapError
from recording.keys.keyring import RecipientSet
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-rewrap-1"
UNPROVEN: Final = "the header was replaced: only the officer's key proves by whom (--officer-key)"


class Rewrap(msgspec.Struct, frozen=True):
    """The record about a rewrap. It identifies the recording, its old header and its new header."""

    format: str
    call_id: str
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

        Raises:
            RewrapError: It is another header, or contains another file key.
            AgeError: It is not a header, or an identity in `_openers` does not open it.
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
            f"the header has {len(parsed.stanzas)} stanzas, but the set has {recipients}"
        )
    if any(stanza.kind != X25519 for stanza in parsed.stanzas):
        raise HeaderError("the header has a stanza of another type than X25519")
    if len({x25519_share(stanza) for stanza in parsed.stanzas}) != recipients:
        raise HeaderError("two stanzas of the header are the same")


def read_rewrap(manifest: Manifest, record: bytes, officer_keys: Collection[str]) -> Rewrap:
    """Return the record (`ID.rewrap`) of a recording's latest rewrap, signed by such an officer.

    Raises:
        ManifestError: The record is malformed, is signed by another key, or belongs to another
            recording.
    """
    read = REWRAP.read(record, officer_keys)
    if (read.call_id, read.payload_sha256) != (manifest.call_id, manifest.payload.sha256):
        raise ManifestError("the rewrap is that of another recording")
    return read


class HeaderStatus(Enum):
    """The origin of the header that a recording has in the archive.

    An `EARLIER` one is older than the most recent rewrap, which should have replaced it.
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

    Manifests of older software do not contain the digest of the header. Without a record (None),
    every header is then accepted. With a record but without officers' keys, the header must have
    the digest in the manifest.
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

    If the `size` in bytes is the signed one, the digest is another.
    """
    if size < expected.size:
        return f"the {name} is incomplete: {size} of {expected.size} bytes"
    if size > expected.size:
        return f"the {name} has {size - expected.size} bytes too many"
    return f"the {name} was changed or swapped: it has another digest"
