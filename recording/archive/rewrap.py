"""Rewrapping: makes a new header for other recipients. It takes an identity to make and prove it.

The record beside the manifest (`ID.rewrap`), signed by the officer, says which header is in force.
Both verification and the officer's client decide with `classify_header`. A person who knew the
payload's key before still knows it: rewrapping revokes nothing.
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
UNPROVEN: Final = "the header was replaced: who by, only the officer's key proves (--officer-key)"


class Rewrap(msgspec.Struct, frozen=True):
    """The record that a recording's header was replaced."""

    format: str
    call_id: str
    payload_sha256: str
    """The digest of the payload, which does not change."""
    replaces: str
    """SHA-256 of the header that the new one replaces."""
    header: ObjectFacts
    """The new header."""
    recipients: list[str]
    """Fingerprints of the recipients to whom the new header is sealed."""
    recipients_serial: int
    made: str


REWRAP: Final = DocumentType("rewrap", FORMAT, Rewrap, "officer")


def facts_of(data: bytes) -> ObjectFacts:
    """Return the length and digest of these bytes."""
    return ObjectFacts(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new header and its record, held by the officer's client."""

    header: bytes
    record: bytes
    _file_key: bytes = field(repr=False)
    _openers: tuple[Identity, ...] = field(repr=False)
    """The officer's identities that can open the new header."""

    def verify(self, found: bytes) -> None:
        """Check that the header that was read back opens the same payload.

        Raises:
            RewrapError: It is another header, or gives another key.
            AgeError: It is not a header, or an identity that should open it does not.
        """
        if found != self.header:
            raise RewrapError("the server read back another header than it was sent")
        header = Header.parse(found)
        header.verified(self._file_key)
        for identity in self._openers:
            if not hmac.compare_digest(header.unwrap([identity]), self._file_key):
                raise RewrapError("the new header gives another key than the old one")


def rewrap(
    manifest: Manifest,
    header: bytes,
    identities: Sequence[Identity],
    recipients: RecipientSet,
    signing: Ed25519PrivateKey,
) -> Replacement:
    """Make a new header for this set, and its record.

    Raises:
        AgeError: No identity opens the header, or it was changed.
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
    """Refuse a header that does not have one X25519 stanza for each of `recipients` recipients.

    Without an identity it is not visible for whom a stanza is.

    Raises:
        HeaderError: The header is malformed, or has other stanzas.
    """
    parsed = Header.parse(header)
    if len(parsed.stanzas) != recipients:
        raise HeaderError(f"the header has {len(parsed.stanzas)} stanzas, the set {recipients}")
    if any(stanza.kind != X25519 for stanza in parsed.stanzas):
        raise HeaderError("the header has a stanza of another type than X25519")
    if len({x25519_share(stanza) for stanza in parsed.stanzas}) != recipients:
        raise HeaderError("two stanzas of the header are the same")


def read_rewrap(manifest: Manifest, record: bytes, officer_keys: Collection[str]) -> Rewrap:
    """Return the record of this recording's last rewrap, signed by one of these officers.

    Raises:
        ManifestError: The record is malformed, signed by another key, or of another recording.
    """
    read = REWRAP.read(record, officer_keys)
    if (read.call_id, read.payload_sha256) != (manifest.call_id, manifest.payload.sha256):
        raise ManifestError("the rewrap is that of another recording")
    return read


class HeaderStatus(Enum):
    """Verdicts on a header: which of a recording's headers is in the archive."""

    FIRST = "as it was sealed"
    REWRAPPED = "that of the last rewrap"
    EARLIER = "from before the last rewrap"
    UNKNOWN = "none that anybody signed"


@dataclass(frozen=True, slots=True)
class HeaderVerdict:
    """The judgement on a header: which one it is, what is wrong, and the record that shows it."""

    header: HeaderStatus
    problem: str = ""
    record: Rewrap | None = None


def classify_header(
    manifest: Manifest, found: ObjectFacts, record: bytes | None, officer_keys: Collection[str]
) -> HeaderVerdict:
    """Judge a header by the manifest and by a record that one of these officers signed.

    A manifest of older software, which did not sign headers, accepts any header unless a record
    says otherwise.
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
        text = "the header is from before its last rewrap: `galwad keys rewrap` mends that"
        return HeaderVerdict(HeaderStatus.EARLIER, text, read)
    return HeaderVerdict(HeaderStatus.UNKNOWN, _difference(read.header, found), read)


def _difference(expected: ObjectFacts | None, found: ObjectFacts) -> str:
    """Return how a header differs from the one that was signed."""
    return "" if expected is None else difference("header", expected, found.size)


def difference(name: str, expected: ObjectFacts, size: int) -> str:
    """Return how an object of this size, with another digest, differs from what was signed."""
    if size < expected.size:
        return f"the {name} is cut: {size} of {expected.size} bytes"
    if size > expected.size:
        return f"the {name} has {size - expected.size} bytes too many"
    return f"the {name} was changed or swapped: it has another digest"
