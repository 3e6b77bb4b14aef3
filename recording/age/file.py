"""X25519 recipients and identities of age v1 (https://c2sp.org/age), and functions for whole files.

A recording's header and payload are separate files, so that the header can be replaced or destroyed
without writing the payload again. The header followed by the payload is a file for the program
`age`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recording.age import bech32
from recording.age.armor import dearmored, looks_armored
from recording.age.header import AnyIdentity, AnyRecipient, Header, make_header
from recording.age.stanza import FILE_KEY, X25519, Stanza, encode, x25519_share
from recording.age.stream import (
    CHUNK,
    NONCE,
    PayloadReader,
    PayloadWriter,
    payload_cipher,
)
from recording.errors import AgeError, KeyTextError, LowOrderError

__all__ = [
    "AnyIdentity",
    "AnyRecipient",
    "Header",
    "Identity",
    "PayloadReader",
    "PayloadWriter",
    "Recipient",
    "Stanza",
    "decrypt_small",
    "encrypt_small",
    "make_header",
    "new_file_key",
    "open_file",
    "open_header",
    "open_parts",
    "payload_cipher",
    "x25519_share",
]

_LABEL: Final = b"age-encryption.org/v1/X25519"
_ZERO_NONCE: Final = bytes(12)
_RECIPIENT: Final = "age"
_IDENTITY: Final = "AGE-SECRET-KEY-"
_GLANCE: Final = 1024


@dataclass(frozen=True, slots=True)
class Recipient:
    """An X25519 public key, to which files can be encrypted."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a recipient's text, which begins with `age1`. Raises `KeyTextError`."""
        return cls(_key_of(text, _RECIPIENT, "recipient (age1…)"))

    def __str__(self) -> str:
        return bech32.encode(_RECIPIENT, self.key)

    def wrap(self, file_key: bytes) -> Stanza:
        """Encrypt the file key to this recipient. Raises `AgeError` for a point of low order."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.key))
        except ValueError:
            raise AgeError("the recipient is a point of low order") from None
        body = _wrapping(shared, share + self.key).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza((X25519, encode(share)), body)


@dataclass(frozen=True, slots=True)
class Identity:
    """An X25519 private key, which opens files. Its `repr` does not show the key."""

    key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a new identity."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an identity's text, which begins with `AGE-SECRET-KEY-1`. Raises `KeyTextError`."""
        return cls(_key_of(text, _IDENTITY, "identity (AGE-SECRET-KEY-1…)"))

    def __str__(self) -> str:
        return bech32.encode(_IDENTITY, self.key)

    @property
    def recipient(self) -> Recipient:
        """The public key of this identity."""
        public = X25519PrivateKey.from_private_bytes(self.key).public_key()
        return Recipient(public.public_bytes_raw())

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the decrypted file key of a stanza; None if the stanza is for another identity.

        Raises:
            HeaderError: An X25519 stanza is malformed; a `LowOrderError` if its public key is a
                point of low order.
        """
        if stanza.kind != X25519:
            return None
        share = x25519_share(stanza)
        try:
            private = X25519PrivateKey.from_private_bytes(self.key)
            shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise LowOrderError("an ephemeral share of low order") from None
        cipher = _wrapping(shared, share + self.recipient.key)
        try:
            return cipher.decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


def _key_of(text: str, prefix: str, what: str) -> bytes:
    try:
        found, key = bech32.decode(text)
    except KeyTextError as error:
        raise KeyTextError(f"not an age {what}: {error}") from None
    if found != prefix or len(key) != 32:
        raise KeyTextError(f"not an age {what}")
    return key


def _wrapping(shared: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt=salt, info=_LABEL).derive(shared))


def new_file_key() -> bytes:
    """Return 16 random bytes."""
    return os.urandom(FILE_KEY)


def open_header(header: bytes, identities: Iterable[AnyIdentity]) -> bytes:
    """Return the file key in a header without a payload. Raises `AgeError`."""
    return Header.parse(header).unwrap(identities)


def open_parts(
    header: bytes, payload: BinaryIO, identities: Iterable[AnyIdentity]
) -> PayloadReader:
    """Return a reader of a recording whose header and payload are separate. Raises `AgeError`."""
    return PayloadReader(payload, open_header(header, identities))


def open_file(source: BinaryIO, identities: Iterable[AnyIdentity]) -> PayloadReader:
    """Return a reader of the age file that begins at the position of the seekable `source`.

    An armored file is decoded in memory. The reader finds most faults of the payload only later.

    Raises:
        ArmorError: The file's armor does not follow the specification.
        HeaderError: The header does not follow the specification, or was changed.
        NoMatchError: None of the identities can decrypt the file key.
        PayloadError: The payload is too short to be valid.
    """
    start = source.tell()
    armored = looks_armored(source.read(_GLANCE))
    source.seek(start)
    if armored:
        source, start = io.BytesIO(dearmored(source.read())), 0
    header = Header.read(source)
    return PayloadReader(source, header.unwrap(identities), start + len(header.raw))


def encrypt_small(data: bytes, recipients: Sequence[AnyRecipient]) -> bytes:
    """Encrypt up to 64 KiB of data to these recipients, and return a complete age file.

    Raises:
        AgeError: The data is too long, or no valid header can be made for the recipients.
    """
    file_key = new_file_key()
    return make_header(file_key, recipients) + encrypt_part(data, file_key)


def encrypt_part(data: bytes, file_key: bytes) -> bytes:
    """Encrypt up to 64 KiB of data, and return a payload without a header. Raises `AgeError`."""
    if len(data) > CHUNK:
        raise AgeError(f"the data is longer than {CHUNK} bytes")
    nonce = os.urandom(NONCE)
    return nonce + payload_cipher(file_key, nonce).encrypt(bytes(11) + b"\x01", data, None)


def decrypt_small(data: bytes, identities: Iterable[AnyIdentity]) -> bytes:
    """Decrypt an age file that `encrypt_small` returned. Raises `AgeError`."""
    return open_file(io.BytesIO(data), identities).readall()
