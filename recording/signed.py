"""Documents that are signed: one line of canonical JSON that says what it is, and by whom.

The line has `key` (the signer's public key, base64), the document under its kind's name, and
`signature` (Ed25519, base64) over a context line and the document as canonical JSON: keys sorted,
no spaces, UTF-8. A reader verifies before it interprets, so fields it does not know are covered.
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
from recording.keys import parse_public, public_text

T = TypeVar("T", bound=msgspec.Struct)


def signer_of(data: bytes) -> str:
    """The public key that a document names, unproven. Raises `ManifestError`."""
    try:
        return str(msgspec.json.decode(data)["key"])
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        raise ManifestError("the document is malformed") from None


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")


def _canonical_base64(*texts: str) -> bool:
    """Whether the bits that base64 leaves unused are zero, as every encoder writes them."""
    return all(base64.b64encode(base64.b64decode(each)).decode() == each for each in texts)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of document: its name, its `format`, its fields, and who signs it."""

    name: str
    format: str
    model: type[T]
    signer: str

    @property
    def _context(self) -> bytes:
        return f"galwad {self.name} v1\n".encode()

    def sign(self, document: T, key: Ed25519PrivateKey) -> bytes:
        """The file's content."""
        signature = key.sign(self._context + canonical(document))
        line = {
            "key": public_text(key.public_key()),
            self.name: msgspec.to_builtins(document),
            "signature": base64.b64encode(signature).decode(),
        }
        return canonical(line) + b"\n"

    def read(self, data: bytes, public_keys: Collection[str] | None = None) -> T:
        """A document whose signature is right.

        Args:
            data: the file's content.
            public_keys: those that are believed, known from elsewhere; None takes the key in the
                file, which shows only that the document is of one piece.

        Raises:
            ManifestError: it is malformed, changed, or signed by another key; be it in a byte that
                means nothing, since there is one way alone to write a document.
        """
        try:
            line = msgspec.json.decode(data)
            body, key, signature = (line[part] for part in (self.name, "key", "signature"))
            signed = base64.b64decode(signature, validate=True)
            as_written = len(line) == 3 and canonical(line) + b"\n" == data
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
            parse_public(cast("str", key)).verify(signed, self._context + canonical(body))
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
