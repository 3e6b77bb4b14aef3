"""X25519 recipients and identities of age v1 (https://c2sp.org/age), and functions for whole files.

A recording's header and payload are separate files, so that the header can be replaced or destroyed
without writing the payload again. The header followed by the payload is a file for the program
`age`.

ASCII armor is an age file as lines of text (section "ASCII armor"): strict PEM as in RFC 7468,
section 3, figure 3. Blank lines around the armor and CRLF line ends are accepted too. Recordings
are never armored, so an armored file is held in memory.
"""

from __future__ import annotations

import base64
import binascii
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
from recording.age.header import (
    FILE_KEY,
    MAGIC,
    X25519,
    AnyIdentity,
    AnyRecipient,
    Header,
    Stanza,
    encode,
    make_header,
    x25519_share,
)
from recording.age.stream import (
    CHUNK,
    NONCE,
    PayloadReader,
    payload_cipher,
)
from recording.errors import AgeError, ArmorError, KeyTextError, LowOrderError

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
        """Return the decrypted file key of a stanza.

        None if the stanza is for another identity or of another type. Raises `HeaderError` if it is
        malformed, and `LowOrderError` for a point of low order.
        """
        if stanza.kind != X25519:
            return None
        share = x25519_share(stanza)
        try:
            private = X25519PrivateKey.from_private_bytes(self.key)
            shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise LowOrderError("the ephemeral share is of low order") from None
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

    Raises `AgeError` if the data is too long, or no valid header can be made for the recipients.
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
    """Decrypt a whole age file in memory. Raises `AgeError`."""
    return open_file(io.BytesIO(data), identities).readall()


BEGIN: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END: Final = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS: Final = 64


def armored(data: bytes) -> bytes:
    """Return an age file in ASCII armor, with LF line ends."""
    text = base64.b64encode(data)
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return b"\n".join([BEGIN, *lines, _END, b""])


def dearmored(text: bytes) -> bytes:
    """Decode ASCII armor, and return the age file.

    Raises `ArmorError` for text around the armor, a wrong line length, or base64 that is not
    canonical.
    """
    lines = text.split(b"\n")
    filled = [place for place, line in enumerate(lines) if line.strip()] or [0]
    lines = [line.removesuffix(b"\r") for line in lines[filled[0] : filled[-1] + 1]]
    if lines[0] != BEGIN:
        raise ArmorError("the armor's first line is malformed")
    if lines[-1] != _END:
        raise ArmorError("the armor's last line is missing or malformed")
    body = lines[1:-1]
    widths = [len(line) for line in body]
    if any(width != _COLUMNS for width in widths[:-1]) or max(widths, default=0) > _COLUMNS:
        raise ArmorError(f"a line of the armor does not have {_COLUMNS} columns")
    if widths and not widths[-1]:
        raise ArmorError("the armor ends with an empty line")
    joined = b"".join(body)
    try:
        data = base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data) != joined:
        raise ArmorError("the armor's base64 is not canonical")
    return data


def looks_armored(head: bytes) -> bool:
    """Return True if a file that begins with these bytes is probably armored, perhaps malformed."""
    return not head.startswith(MAGIC) and b"-----" in head
