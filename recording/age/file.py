"""age v1 (https://c2sp.org/age), on the primitives of `cryptography`.

This module has the X25519 recipients and identities, and the functions that open a file.
`recording.age.header` has the header, `recording.age.stream` the payload. Header and payload are
written and read separately, so that a header can be replaced or destroyed while the payload is
never written again. Joined, they are a file that stock `age` opens. `passphrase` and `armor`
beside it are for officers' key files; the server uses neither.
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
    """An X25519 public key: its owner can open the files that are encrypted to it."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an `age1…` text. Raises `KeyTextError`."""
        return cls(_key_of(text, _RECIPIENT, "recipient (age1…)"))

    def __str__(self) -> str:
        return bech32.encode(_RECIPIENT, self.key)

    def wrap(self, file_key: bytes) -> Stanza:
        """Return a stanza that holds the file key for this recipient only."""
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
    """An X25519 private key, which opens files. Its `repr` does not show it."""

    key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a new identity."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an `AGE-SECRET-KEY-1…` text. Raises `KeyTextError`."""
        return cls(_key_of(text, _IDENTITY, "identity (AGE-SECRET-KEY-1…)"))

    def __str__(self) -> str:
        return bech32.encode(_IDENTITY, self.key)

    @property
    def recipient(self) -> Recipient:
        """The identity's public half."""
        public = X25519PrivateKey.from_private_bytes(self.key).public_key()
        return Recipient(public.public_bytes_raw())

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, or None when the stanza is for another identity.

        Raises:
            HeaderError: The stanza is of type X25519, but malformed. It is a `LowOrderError` when
                the stanza's share is a point of low order.
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
    """Return 16 random bytes: the key of one file."""
    return os.urandom(FILE_KEY)


def open_header(header: bytes, identities: Iterable[AnyIdentity]) -> bytes:
    """Return the file key in a header that is stored apart from its payload. Raises `AgeError`."""
    return Header.parse(header).unwrap(identities)


def open_parts(
    header: bytes, payload: BinaryIO, identities: Iterable[AnyIdentity]
) -> PayloadReader:
    """Open a recording that is stored as header and payload. Raises `AgeError`."""
    return PayloadReader(payload, open_header(header, identities))


def open_file(source: BinaryIO, identities: Iterable[AnyIdentity]) -> PayloadReader:
    """Open a joined, seekable file that begins at the position of `source`.

    An armored file is recognised and held in memory. Faults of the payload show when it is read.

    Raises:
        ArmorError: The file is armored, but not as the specification requires.
        HeaderError: The header is not as the specification requires, or was changed.
        NoMatchError: None of the identities is a recipient.
        PayloadError: The payload has no whole chunk.
    """
    start = source.tell()
    armored = looks_armored(source.read(_GLANCE))
    source.seek(start)
    if armored:
        source, start = io.BytesIO(dearmored(source.read())), 0
    header = Header.read(source)
    return PayloadReader(source, header.unwrap(identities), start + len(header.raw))


def encrypt_small(data: bytes, recipients: Sequence[AnyRecipient]) -> bytes:
    """Return a whole age file in memory, for at most one chunk of data. Raises `AgeError`."""
    if len(data) > CHUNK:
        raise AgeError(f"more than {CHUNK} bytes are no small thing")
    file_key, nonce = new_file_key(), os.urandom(NONCE)
    sealed = payload_cipher(file_key, nonce).encrypt(bytes(11) + b"\x01", data, None)
    return make_header(file_key, recipients) + nonce + sealed


def decrypt_small(data: bytes, identities: Iterable[AnyIdentity]) -> bytes:
    """Decrypt what `encrypt_small` returned. Raises `AgeError`."""
    return open_file(io.BytesIO(data), identities).readall()
