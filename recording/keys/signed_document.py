"""Signed documents: one line of canonical JSON with the document, the signer's key and a signature.

The line has `key` (the signer's public key, base64), the document under its kind's name, and
`signature` (Ed25519, base64) over a context line and the document as canonical JSON: keys sorted,
no spaces, UTF-8. A reader verifies before it interprets the document, so the signature also covers
fields that the reader does not know.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.errors import KeySetError, ManifestError
from recording.keys.keyring import parse_public, public_text

T = TypeVar("T", bound=msgspec.Struct)


def unverified_key(data: bytes) -> str:
    """Return the public key in a document, without verifying it. Raises `ManifestError`."""
    try:
        return str(msgspec.json.decode(data)["key"])
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        raise ManifestError("the document is malformed") from None


def canonical_json(value: object) -> bytes:
    """Return a value as JSON with sorted keys and no spaces."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")


def _canonical_base64(*texts: str) -> bool:
    """Return whether the bits that base64 leaves unused are zero, as every encoder writes them."""
    return all(base64.b64encode(base64.b64decode(each)).decode() == each for each in texts)


@dataclass(frozen=True, slots=True)
class DocumentType(Generic[T]):
    """A kind of signed document.

    Attributes:
        name: The document's name: its key in the line, and in error texts.
        format: The value that its field `format` must have.
        model: The class of its fields.
        signer: The role of the signer, such as "node", for error texts.
    """

    name: str
    format: str
    model: type[T]
    signer: str

    @property
    def _context(self) -> bytes:
        return f"galwad {self.name} v1\n".encode()

    def sign(self, document: T, key: Ed25519PrivateKey) -> bytes:
        """Return the content of the file with a signed document."""
        signature = key.sign(self._context + canonical_json(document))
        line = {
            "key": public_text(key.public_key()),
            self.name: msgspec.to_builtins(document),
            "signature": base64.b64encode(signature).decode(),
        }
        return canonical_json(line) + b"\n"

    def read(self, data: bytes, public_keys: Collection[str] | None = None) -> T:
        """Return the document in a file after verifying its signature.

        Args:
            data: The file's content.
            public_keys: The accepted public keys, from a trusted source. None accepts the key in
                the file, which shows only that document and signature belong together.

        Raises:
            ManifestError: The document is malformed, was changed, or is signed by another key. A
                change of any byte counts, even without a meaning, because a document can be
                written in only one form.
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
            raise ManifestError(f"the {self.name} was changed: it is not as it was written")
        return self._interpreted(body)

    def _interpreted(self, body: object) -> T:
        if not isinstance(body, dict) or body.get("format") != self.format:
            raise ManifestError(f"the {self.name} has a format that this program does not know")
        try:
            return msgspec.convert(body, self.model)
        except msgspec.ValidationError as error:
            raise ManifestError(f"the {self.name} is malformed: {error}") from None
