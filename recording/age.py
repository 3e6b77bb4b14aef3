"""age v1 with X25519 recipients (https://c2sp.org/age), on the primitives of `cryptography`.

Here are recipients, identities and the header; `recording.age_stream` has the payload. The
two are made and read apart, so that headers can be replaced or destroyed while payloads lie
write-once; header and payload joined are a file that stock `age` opens.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recording import bech32
from recording.age_stream import (
    CHUNK,
    NONCE,
    PayloadReader,
    PayloadWriter,
    payload_cipher,
)
from recording.errors import (
    AgeError,
    HeaderError,
    HeaderMacError,
    HeaderTruncatedError,
    KeyTextError,
    NoMatchError,
)

__all__ = [
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

_VERSION: Final = b"age-encryption.org/v1\n"
_LABEL: Final = b"age-encryption.org/v1/X25519"
_FILE_KEY: Final = 16
_COLUMNS: Final = 64
_MAX_HEADER: Final = 16 * 1024 * 1024
_ZERO_NONCE: Final = bytes(12)
_ARGUMENTS = re.compile(rb"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_RECIPIENT: Final = "age"
_IDENTITY: Final = "AGE-SECRET-KEY-"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An X25519 public key: who can open a file."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `age1…`. Raises `KeyTextError`."""
        return cls(_key_of(text, _RECIPIENT, "recipient (age1…)"))

    def __str__(self) -> str:
        return bech32.encode(_RECIPIENT, self.key)

    def wrap(self, file_key: bytes) -> Stanza:
        """A stanza that holds the file key for this recipient alone."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.key))
        except ValueError:
            raise AgeError("the recipient is a point of low order") from None
        body = _wrapping(shared, share + self.key).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza(("X25519", _encode(share)), body)


@dataclass(frozen=True, slots=True)
class Identity:
    """An X25519 private key: what opens a file. Its `repr` does not show it."""

    key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new one."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `AGE-SECRET-KEY-1…`. Raises `KeyTextError`."""
        return cls(_key_of(text, _IDENTITY, "identity (AGE-SECRET-KEY-1…)"))

    def __str__(self) -> str:
        return bech32.encode(_IDENTITY, self.key)

    @property
    def recipient(self) -> Recipient:
        """Its public half."""
        public = X25519PrivateKey.from_private_bytes(self.key).public_key()
        return Recipient(public.public_bytes_raw())

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, or None when the stanza is for somebody else.

        Raises:
            HeaderError: the stanza is an X25519 one, but malformed.
        """
        if stanza.arguments[0] != "X25519":
            return None
        share = x25519_share(stanza)
        try:
            private = X25519PrivateKey.from_private_bytes(self.key)
            shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise HeaderError("an ephemeral share of low order") from None
        cipher = _wrapping(shared, share + self.recipient.key)
        try:
            return cipher.decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True)
class Stanza:
    """One wrapped file key: its type and arguments, and its body."""

    arguments: tuple[str, ...]
    body: bytes

    def __bytes__(self) -> bytes:
        text = _encode(self.body)
        lines = [text[at : at + _COLUMNS] for at in range(0, len(text) + 1, _COLUMNS)]
        return "\n".join(["-> " + " ".join(self.arguments), *lines, ""]).encode()


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header: stanzas, MAC, and the bytes it came from."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """A whole header and nothing else. Raises `HeaderError`."""
        source = io.BytesIO(data)
        header = cls.read(source)
        if source.tell() != len(data):
            raise HeaderError("something follows the header")
        return header

    @classmethod
    def read(cls, source: BinaryIO) -> Self:
        """From a file's start; what is read ends with the header. Raises `HeaderError`."""
        lines = _Lines(source)
        if lines.next() != _VERSION[:-1]:
            raise HeaderError("this is no age file of version 1")
        stanzas: list[Stanza] = []
        while not (line := lines.next()).startswith(b"---"):
            stanzas.append(_stanza(line, lines))
        if not line.startswith(b"--- "):
            raise HeaderError("the header's last line is malformed")
        mac = _decode(line[4:])
        if len(mac) != 32:
            raise HeaderError("the header's MAC has the wrong length")
        if not stanzas:
            raise HeaderError("the header names no recipient")
        if len(stanzas) > 1 and any(stanza.arguments[0] == "scrypt" for stanza in stanzas):
            raise HeaderError("a passphrase cannot stand beside other recipients")
        return cls(tuple(stanzas), mac, b"".join(lines.taken))

    def unwrap(self, identities: Iterable[Identity]) -> bytes:
        """The file key, the MAC verified.

        Raises:
            NoMatchError: none of the identities is a recipient.
            HeaderMacError: the header was changed.
            HeaderError: a stanza is malformed.
        """
        for stanza in self.stanzas:
            if stanza.arguments[0] == "X25519":
                x25519_share(stanza)
        for identity in identities:
            for stanza in self.stanzas:
                file_key = identity.unwrap(stanza)
                if file_key is not None:
                    return self.verified(file_key)
        raise NoMatchError("none of the identities opens this file")

    def verified(self, file_key: bytes) -> bytes:
        """The file key, if the header was made with it. Raises `HeaderMacError`."""
        signed = self.raw[: self.raw.rindex(b"---") + 3]
        if not hmac.compare_digest(_mac(file_key, signed), self.mac):
            raise HeaderMacError("the header was changed")
        return file_key


class _Lines:
    """Lines of a header, each ended by LF, the total bounded."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = _MAX_HEADER
        self.taken: list[bytes] = []

    def next(self) -> bytes:
        line = self._source.readline(self._left)
        self._left -= len(line)
        if not line.endswith(b"\n"):
            if self._left <= 0:
                raise HeaderError("the header is too long")
            raise HeaderTruncatedError("the file ends inside the header")
        self.taken.append(line)
        return line[:-1]


def _stanza(line: bytes, lines: _Lines) -> Stanza:
    if not line.startswith(b"-> ") or _ARGUMENTS.fullmatch(line[3:]) is None:
        raise HeaderError("a stanza's first line is malformed")
    body: list[bytes] = []
    while True:
        part = lines.next()
        if len(part) > _COLUMNS:
            raise HeaderError(f"a stanza's line is longer than {_COLUMNS} characters")
        body.append(part)
        if len(part) < _COLUMNS:
            return Stanza(tuple(line[3:].decode().split(" ")), _decode(b"".join(body)))


def x25519_share(stanza: Stanza) -> bytes:
    """The ephemeral share of a well-formed X25519 stanza. Raises `HeaderError`."""
    if len(stanza.arguments) != 2:
        raise HeaderError("an X25519 stanza has one argument")
    share = _decode(stanza.arguments[1].encode())
    if len(share) != 32 or len(stanza.body) != _FILE_KEY + 16:
        raise HeaderError("an X25519 stanza of the wrong length")
    return share


def _key_of(text: str, prefix: str, what: str) -> bytes:
    try:
        found, key = bech32.decode(text)
    except KeyTextError as error:
        raise KeyTextError(f"not an age {what}: {error}") from None
    if found != prefix or len(key) != 32:
        raise KeyTextError(f"not an age {what}")
    return key


def _encode(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _decode(text: bytes) -> bytes:
    """Unpadded base64; each value has one spelling, and only that is taken."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if _encode(data).encode() != text:
        raise HeaderError("base64 that is not canonical")
    return data


def _wrapping(shared: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt=salt, info=_LABEL).derive(shared))


def _mac(file_key: bytes, signed: bytes) -> bytes:
    key = HKDF(SHA256(), 32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, signed, "sha256")


def new_file_key() -> bytes:
    """16 random bytes: the key of one file."""
    return os.urandom(_FILE_KEY)


def make_header(file_key: bytes, recipients: Sequence[Recipient]) -> bytes:
    """A header that gives the file key to each recipient.

    Raises:
        AgeError: there is no recipient, or one is a point of low order.
    """
    if not recipients:
        raise AgeError("a file without recipients could never be opened")
    stanzas = b"".join(bytes(recipient.wrap(file_key)) for recipient in recipients)
    signed = _VERSION + stanzas + b"---"
    return signed + b" " + _encode(_mac(file_key, signed)).encode() + b"\n"


def open_header(header: bytes, identities: Iterable[Identity]) -> bytes:
    """The file key in a header that lies apart from its payload. Raises `AgeError`."""
    return Header.parse(header).unwrap(identities)


def open_parts(header: bytes, payload: BinaryIO, identities: Iterable[Identity]) -> PayloadReader:
    """Open a recording kept as two objects. Raises `AgeError`."""
    return PayloadReader(payload, open_header(header, identities))


def open_file(source: BinaryIO, identities: Iterable[Identity]) -> PayloadReader:
    """Open a joined, seekable file that begins where `source` stands. Raises `AgeError`."""
    start = source.tell()
    header = Header.read(source)
    return PayloadReader(source, header.unwrap(identities), start + len(header.raw))


def encrypt_small(data: bytes, recipients: Sequence[Recipient]) -> bytes:
    """A whole age file in memory, for at most one chunk. Raises `AgeError`."""
    if len(data) > CHUNK:
        raise AgeError(f"more than {CHUNK} bytes are no small thing")
    file_key, nonce = new_file_key(), os.urandom(NONCE)
    sealed = payload_cipher(file_key, nonce).encrypt(bytes(11) + b"\x01", data, None)
    return make_header(file_key, recipients) + nonce + sealed


def decrypt_small(data: bytes, identities: Iterable[Identity]) -> bytes:
    """Undo `encrypt_small`. Raises `AgeError`."""
    return open_file(io.BytesIO(data), identities).readall()
