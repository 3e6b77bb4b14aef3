"""The header of an age v1 file (https://c2sp.org/age, section "Header"): its stanzas and its MAC.

X25519 and scrypt stanzas are checked as in the sections "Recipient stanza", "The X25519 recipient
type" and "The scrypt recipient type".

A recipient encrypts a file key to a stanza, and an identity decrypts it. Their classes are in
`recording.age.file` (X25519) and `recording.age.identity_file` (scrypt).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recording.errors import (
    AgeError,
    Base64Error,
    HeaderError,
    HeaderMacError,
    HeaderTruncatedError,
    NoMatchError,
    StanzaError,
    VersionError,
    WorkFactorError,
)

FILE_KEY: Final = 16
COLUMNS: Final = 64
X25519: Final = "X25519"
SCRYPT: Final = "scrypt"
SALT: Final = 16
_WRAPPED: Final = FILE_KEY + 16
_MOST_DIGITS: Final = 3
_DECIMAL = re.compile(r"[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Stanza:
    """A file key that is encrypted to one recipient. The first argument is the stanza's type."""

    arguments: tuple[str, ...]
    body: bytes

    @property
    def kind(self) -> str:
        """The stanza's type: `X25519`, `scrypt`, or a type that the age format does not define."""
        return self.arguments[0]

    def __bytes__(self) -> bytes:
        text = encode(self.body)
        lines = [text[at : at + COLUMNS] for at in range(0, len(text) + 1, COLUMNS)]
        return "\n".join(["-> " + " ".join(self.arguments), *lines, ""]).encode()


def check_native(stanza: Stanza) -> None:
    """Check that a stanza of the type X25519 or scrypt is well-formed.

    Raises `StanzaError` or `Base64Error`.
    """
    if stanza.kind == X25519:
        x25519_share(stanza)
    elif stanza.kind == SCRYPT:
        scrypt_parameters(stanza)


def x25519_share(stanza: Stanza) -> bytes:
    """Return the ephemeral public key (32 bytes) in an X25519 stanza. Raises as `check_native`."""
    if len(stanza.arguments) != 2:
        raise StanzaError("an X25519 stanza must have one argument")
    share = decode(stanza.arguments[1].encode())
    if len(share) != 32 or len(stanza.body) != _WRAPPED:
        raise StanzaError("an X25519 stanza has the wrong length")
    return share


def scrypt_parameters(stanza: Stanza) -> tuple[bytes, int]:
    """Return the salt (16 bytes) and the work factor (log2 of N). Raises as `check_native`."""
    if len(stanza.arguments) != 3:
        raise StanzaError("a scrypt stanza must have two arguments")
    salt, factor = decode(stanza.arguments[1].encode()), stanza.arguments[2]
    if len(salt) != SALT or len(stanza.body) != _WRAPPED:
        raise StanzaError("a scrypt stanza has the wrong length")
    if _DECIMAL.fullmatch(factor) is None:
        raise StanzaError("a work factor must be a decimal number without leading zeros")
    if len(factor) > _MOST_DIGITS:
        raise WorkFactorError("the work factor has too many digits")
    return salt, int(factor)


def encode(data: bytes) -> str:
    """Return `data` as base64 without padding."""
    return base64.b64encode(data).rstrip(b"=").decode()


def decode(text: bytes) -> bytes:
    """Decode base64 without padding. Raises `Base64Error` if the text is not canonical."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if encode(data).encode() != text:
        raise Base64Error("the base64 is not canonical")
    return data


MAGIC: Final = b"age-encryption.org/"
_VERSION: Final = MAGIC + b"v1\n"
_MAX_HEADER: Final = 16 * 1024 * 1024
_ARGUMENTS = re.compile(rb"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


class AnyRecipient(Protocol):
    """An object to which a file can be encrypted."""

    def wrap(self, file_key: bytes) -> Stanza:
        """Return a stanza with the file key encrypted to this recipient. Raises `AgeError`."""


class AnyIdentity(Protocol):
    """An object that can decrypt a file key."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key; None if the stanza is for another identity. Raises `HeaderError`."""


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header of an age file. `raw` has its bytes, and `mac` has 32 bytes."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse bytes that consist of exactly one header. Raises `HeaderError`."""
        source = io.BytesIO(data)
        header = cls.read(source)
        if source.tell() != len(data):
            raise HeaderError("there is data after the header")
        return header

    @classmethod
    def read(cls, source: BinaryIO) -> Self:
        """Read a header from the present position of `source`, and nothing after it.

        Raises `HeaderTruncatedError` if the file ends inside the header, `VersionError` for another
        file or version, and `HeaderError` for another fault. A passphrase stanza must be the only
        stanza.
        """
        lines = _Lines(source)
        if lines.next() != _VERSION[:-1]:
            raise VersionError("this is not an age file of version 1")
        stanzas: list[Stanza] = []
        while not (line := lines.next()).startswith(b"---"):
            stanzas.append(_stanza(line, lines))
        if not line.startswith(b"--- "):
            raise HeaderError("the header's last line is malformed")
        mac = decode(line[4:])
        if len(mac) != 32:
            raise HeaderError("the header's MAC has the wrong length")
        if not stanzas:
            raise StanzaError("the header names no recipient")
        _check_alone(stanzas)
        return cls(tuple(stanzas), mac, b"".join(lines.taken))

    def unwrap(self, identities: Iterable[AnyIdentity]) -> bytes:
        """Decrypt the file key with one of the identities, verify the MAC, and return the file key.

        Raises `NoMatchError` if no identity fits, `HeaderMacError` if the header was changed, and
        `HeaderError` if a stanza is malformed or a passphrase's work factor is too high.
        """
        for stanza in self.stanzas:
            check_native(stanza)
        for identity in identities:
            for stanza in self.stanzas:
                file_key = identity.unwrap(stanza)
                if file_key is not None:
                    return self.verified(file_key)
        raise NoMatchError("none of the identities opens this file")

    def verified(self, file_key: bytes) -> bytes:
        """Return `file_key` if the MAC is right.

        Raises `HeaderMacError` if the header was changed, or `file_key` is not its file key.
        """
        signed = self.raw[: self.raw.rindex(b"---") + 3]
        if not hmac.compare_digest(_mac(file_key, signed), self.mac):
            raise HeaderMacError("the header was changed")
        return file_key


def make_header(file_key: bytes, recipients: Sequence[AnyRecipient]) -> bytes:
    """Return a header from which each of the recipients can get the file key.

    Raises `AgeError` without a recipient, for a point of low order, or for a passphrase together
    with other recipients.
    """
    if not recipients:
        raise AgeError("a file without recipients could never be opened")
    stanzas = [recipient.wrap(file_key) for recipient in recipients]
    _check_alone(stanzas)
    signed = _VERSION + b"".join(map(bytes, stanzas)) + b"---"
    return signed + b" " + encode(_mac(file_key, signed)).encode() + b"\n"


class _Lines:
    """Reads a header of limited length line by line. `taken` has the lines, each with its LF."""

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
        raise StanzaError("a stanza's first line is malformed")
    body: list[bytes] = []
    while True:
        part = lines.next()
        if len(part) > COLUMNS:
            raise StanzaError(f"a stanza's line is longer than {COLUMNS} characters")
        body.append(part)
        if len(part) < COLUMNS:
            return Stanza(tuple(line[3:].decode().split(" ")), decode(b"".join(body)))


def _check_alone(stanzas: Sequence[Stanza]) -> None:
    if len(stanzas) > 1 and any(stanza.kind == SCRYPT for stanza in stanzas):
        raise StanzaError("a passphrase cannot be combined with other recipients")


def _mac(file_key: bytes, signed: bytes) -> bytes:
    key = HKDF(SHA256(), 32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, signed, "sha256")
