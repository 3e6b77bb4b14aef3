"""Signed documents: one line of canonical JSON with the document, the signer's key and a signature.

Canonical JSON is UTF-8 with sorted names and no spaces. The object has three members: `key` (the
signer's public key in base64), the document under the name of its type, such as `manifest`, and
`signature` (Ed25519, base64). The signature covers the line `galwad TYPE v1` and the canonical JSON
of the document. The signature is verified before the fields are interpreted, so it also covers
fields that this program does not know.

One signed document is the trust file: the public keys of the nodes whose manifests an officer
trusts. The officer signs it, so only the officer can add a key.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.errors import KeySetError, ManifestError
from recording.keys.keyring import parse_public, public_text

_TRUST_FORMAT: Final = "galwad-trust-1"
TRUST_FILE_NAME: Final = "trusted-nodes.json"
"""The usual name of the trust file, in the folder of the officer's keys."""
_SIGN_HINT: Final = "the officer must sign the trust file again"


class Document(msgspec.Struct, frozen=True):
    """The base of all signed documents. Its `format` is that of its `DocumentType`."""

    format: str


T = TypeVar("T", bound=Document)


def unverified_key(data: bytes) -> str:
    """Return the public key (base64) in a document, unverified. Raises `ManifestError`."""
    try:
        return str(msgspec.json.decode(data)["key"])
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        raise ManifestError("the document is malformed") from None


def canonical_json(value: object) -> bytes:
    """Return a value as JSON with sorted member names and without spaces."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")


def _canonical_base64(*texts: str) -> bool:
    """Return True if an encoder wrote these texts: the unused bits of the last character are 0."""
    return all(base64.b64encode(base64.b64decode(each)).decode() == each for each in texts)


@dataclass(frozen=True, slots=True)
class DocumentType(Generic[T]):
    """A type of signed document.

    `name` is the JSON member with the document, such as "manifest". `model` is the class of the
    document. `signer` is the signer's role in error texts, such as "node".
    """

    name: str
    format: str
    model: type[T]
    signer: str

    @property
    def _context(self) -> bytes:
        return f"galwad {self.name} v1\n".encode()

    def sign(self, document: T, key: Ed25519PrivateKey) -> bytes:
        """Return the signed document as the content of a file."""
        signature = key.sign(self._context + canonical_json(document))
        line = {
            "key": public_text(key.public_key()),
            self.name: msgspec.to_builtins(document),
            "signature": base64.b64encode(signature).decode(),
        }
        return canonical_json(line) + b"\n"

    def read(self, data: bytes, public_keys: Collection[str] | None = None) -> T:
        """Verify the signature of the document in a file's content, and return the document.

        `public_keys` are trusted keys in base64. If None, any key is accepted; the signature then
        shows only that document and key belong together. Raises `ManifestError` if the document is
        malformed or signed by another key, or if any byte was changed.
        """
        try:
            line = msgspec.json.decode(data)
            body, key, signature = (line[part] for part in (self.name, "key", "signature"))
            signed = base64.b64decode(signature, validate=True)
            as_written = len(line) == 3 and canonical_json(line) + b"\n" == data
            as_written = as_written and _canonical_base64(key, signature)
        except (
            msgspec.DecodeError,
            KeyError,
            TypeError,
            ValueError,
            binascii.Error,
            RecursionError,
        ):
            raise ManifestError(f"the {self.name} is malformed") from None
        if public_keys is not None and key not in public_keys:
            raise ManifestError(f"the {self.name} is signed by another {self.signer}'s key")
        try:
            parse_public(cast("str", key)).verify(signed, self._context + canonical_json(body))
        except (InvalidSignature, KeySetError, TypeError, RecursionError):
            raise ManifestError(f"the {self.name} was changed: its signature is wrong") from None
        if not as_written:
            raise ManifestError(
                f"the {self.name} was changed: its bytes are not those that were written"
            )
        return self._interpreted(body)

    def _interpreted(self, body: object) -> T:
        if not isinstance(body, dict) or body.get("format") != self.format:
            raise ManifestError(f"the {self.name} has a format that this program does not know")
        try:
            return msgspec.convert(body, self.model)
        except msgspec.ValidationError as error:
            raise ManifestError(f"the {self.name} is malformed: {error}") from None


class TrustFile(Document, frozen=True):
    """The nodes (keys in base64) that an officer trusts, and the date (ISO 8601 in UTC)."""

    signed_at: str
    node_keys: list[str]


_DOCUMENT: Final = DocumentType("trust-file", _TRUST_FORMAT, TrustFile, "officer")


def sign_trust(node_keys: Iterable[str], key: Ed25519PrivateKey) -> bytes:
    """Return the content of a trust file for these nodes, signed by the officer."""
    signed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return _DOCUMENT.sign(TrustFile(_TRUST_FORMAT, signed_at, sorted(set(node_keys))), key)


def trusted_nodes(content: bytes, officer_keys: Collection[str]) -> tuple[str, ...]:
    """Return the keys of the nodes in a trust file that one of these officers signed.

    Raises `KeySetError` if the file is malformed, names no node, or has no signature by these
    officers.
    """
    try:
        keys = tuple(_DOCUMENT.read(content, officer_keys).node_keys)
    except ManifestError as error:
        raise KeySetError(str(error), _SIGN_HINT) from None
    for key in keys:
        parse_public(key)
    if not keys:
        raise KeySetError("the trust file names no node", _SIGN_HINT)
    return keys
