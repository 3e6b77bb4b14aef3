"""Commitments to personal facts, and the encrypted copy of these facts for the recipients.

The caller's number, the line, the advisor, the extension, the later callers and the later advisors
are in clear only in the index. The manifest has a commitment to each (none if there are no later
parties): an HMAC-SHA-256 whose key is the recording's salt, which is in its row. So the manifest
shows no fact without the row, and a changed fact or salt contradicts the manifest. A commitment
covers the call id, the name of the fact and its value, as canonical JSON, so it cannot be used for
another fact or another recording.

The manifest also has facts and salt, encrypted with the recording's file key, so that a recipient
can restore the row after the database was lost. The recording's disposal destroys the header, and
so this copy too. If the row's facts and its salt are then erased, nothing can be learned from the
commitments any more, and they are no longer personal data.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self, TypeAlias

import msgspec

from recording.age.file import AnyIdentity, encrypt_part, open_parts
from recording.archive.manifest import Commitments, Manifest
from recording.archive.summary import LaterAdvisor, LaterCaller, RecordingSummary
from recording.errors import ManifestError
from recording.keys.signed_document import canonical_json

FACTS: Final = Commitments.__struct_fields__
"""The names of the facts, from number to later_advisors."""
Fact: TypeAlias = str | tuple[LaterCaller, ...] | tuple[LaterAdvisor, ...] | None
"""Only a number can be None; only later callers and advisors are a tuple."""
_PADDED: Final = 512
"""Encrypted facts have a multiple of this many bytes, so that their length discloses nothing."""


class IndexFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The personal facts of a recording, and their salt in hexadecimal.

    `number` is None if it is unknown or withheld. Without later parties, their fields are not
    encoded.
    """

    number: str | None
    line: str
    advisor: str
    extension: str
    salt: str
    later_callers: tuple[LaterCaller, ...] = ()
    later_advisors: tuple[LaterAdvisor, ...] = ()

    @classmethod
    def of(cls, row: RecordingSummary) -> Self:
        """Return the facts in a recording's row."""
        return cls(**{name: getattr(row, name) for name in cls.__struct_fields__})

    def match(self, manifest: Manifest) -> bool:
        """Return whether the manifest has commitments, and they are those to these facts."""
        try:
            salt = bytes.fromhex(self.salt)
        except ValueError:
            return False
        facts = {name: getattr(self, name) for name in FACTS}
        committed = manifest.index
        return committed is not None and not any(
            changed_facts(committed, salt, manifest.call_id, facts)
        )


def seal_facts(facts: IndexFacts, file_key: bytes) -> str:
    """Encrypt facts with the file key of their recording; return them in base64.

    Raises `AgeError` if they are longer than 64 KiB.
    """
    data = canonical_json(facts)
    padded = data + b" " * (-len(data) % _PADDED)
    return base64.b64encode(encrypt_part(padded, file_key)).decode()


def open_facts(manifest: Manifest, header: bytes, identities: Iterable[AnyIdentity]) -> IndexFacts:
    """Decrypt the facts in a manifest with the recording's header and an age identity.

    Raises:
        AgeError: None of the identities opens the header, or the facts were changed.
        ManifestError: The manifest has no facts, or they do not match its commitments.
    """
    if manifest.sealed_facts is None:
        raise ManifestError("its manifest has no facts about people: older software sealed it")
    try:
        sealed = base64.b64decode(manifest.sealed_facts, validate=True)
        data = open_parts(header, io.BytesIO(sealed), identities).readall()
        facts = msgspec.json.decode(data, type=IndexFacts)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise ManifestError("the facts about people in its manifest are malformed") from None
    if not facts.match(manifest):
        raise ManifestError("the facts about people in its manifest do not match its commitments")
    return facts


def encoded(call_id: str, name: str, value: Fact) -> bytes:
    """Return the bytes that a commitment covers: a JSON object, sorted and without spaces.

    `value` is None for a number that is unknown or withheld. A later caller has the members
    `from_us`, `number` and `withheld`, a later advisor `advisor`, `extension` and `from_us`.
    """
    return canonical_json({"call_id": call_id, "name": name, "value": value})


def commitment(salt: bytes, call_id: str, name: str, value: Fact) -> str:
    """Return the commitment to one fact of a recording, in hexadecimal."""
    return hmac.new(salt, encoded(call_id, name, value), hashlib.sha256).hexdigest()


def commit(salt: bytes, call_id: str, facts: Mapping[str, Fact]) -> Commitments:
    """Return the commitments to the facts of a recording, by the names in `FACTS`."""
    made = {name: _committed(salt, call_id, name, facts[name]) for name in FACTS}
    return msgspec.convert(made, Commitments)


def changed_facts(
    commitments: Commitments, salt: bytes, call_id: str, facts: Mapping[str, Fact]
) -> Iterator[str]:
    """Yield the name of each fact that does not match its commitment.

    Without a commitment to later callers or advisors, there must not be any.
    """
    for name in FACTS:
        if _committed(salt, call_id, name, facts[name]) != getattr(commitments, name):
            yield name


def _committed(salt: bytes, call_id: str, name: str, value: Fact) -> str | None:
    """Return the commitment to one fact; None if the fact is that there is no later party."""
    return None if value == () else commitment(salt, call_id, name, value)
