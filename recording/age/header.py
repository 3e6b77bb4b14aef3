"""The header of an age v1 file: the stanzas that wrap its key, and the MAC over them.

https://c2sp.org/age, "Header". A recipient is an object that wraps a file key in a stanza; an
identity is an object that unwraps it. `recording.age.file` has those of X25519,
`recording.age.passphrase` those of scrypt.
"""

from __future__ import annotations

import hmac
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recording.age.stanza import COLUMNS, SCRYPT, Stanza, check_native, decode, encode
from recording.errors import (
    AgeError,
    HeaderError,
    HeaderMacError,
    HeaderTruncatedError,
    NoMatchError,
    StanzaError,
    VersionError,
)

MAGIC: Final = b"age-encryption.org/"
_VERSION: Final = MAGIC + b"v1\n"
_MAX_HEADER: Final = 16 * 1024 * 1024
_ARGUMENTS = re.compile(rb"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


class AnyRecipient(Protocol):
    """An object to which a file can be encrypted."""

    def wrap(self, file_key: bytes) -> Stanza:
        """Return a stanza that holds the file key for this recipient only. Raises `AgeError`."""


class AnyIdentity(Protocol):
    """An object that can open a file."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, or None when the stanza is for another identity.

        Raises `HeaderError`.
        """


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header: its stanzas, its MAC, and the bytes from which it was read."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse bytes that are one whole header. Raises `HeaderError`."""
        source = io.BytesIO(data)
        header = cls.read(source)
        if source.tell() != len(data):
            raise HeaderError("something follows the header")
        return header

    @classmethod
    def read(cls, source: BinaryIO) -> Self:
        """Read a header from a file's start, and nothing after it.

        Raises:
            HeaderTruncatedError: The file ends too early.
            VersionError: The file is not an age file, or is one of another version.
            StanzaError: There is no stanza, a stanza is malformed, or a passphrase stanza has
                others beside it.
            Base64Error: The base64 is not canonical.
            HeaderError: The last line is malformed, or the header is too long.
        """
        lines = _Lines(source)
        if lines.next() != _VERSION[:-1]:
            raise VersionError("this is no age file of version 1")
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
        """Return the file key after verifying the MAC.

        Raises:
            NoMatchError: None of the identities is a recipient.
            HeaderMacError: The header was changed.
            HeaderError: A stanza is malformed, or requires more work than an identity accepts.
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
        """Return the file key if the header's MAC was made with it. Raises `HeaderMacError`."""
        signed = self.raw[: self.raw.rindex(b"---") + 3]
        if not hmac.compare_digest(_mac(file_key, signed), self.mac):
            raise HeaderMacError("the header was changed")
        return file_key


def make_header(file_key: bytes, recipients: Sequence[AnyRecipient]) -> bytes:
    """Return a header that gives the file key to each recipient.

    Raises:
        AgeError: There is no recipient, a recipient is a point of low order, or a passphrase is not
            the only recipient.
    """
    if not recipients:
        raise AgeError("a file without recipients could never be opened")
    stanzas = [recipient.wrap(file_key) for recipient in recipients]
    _check_alone(stanzas)
    signed = _VERSION + b"".join(map(bytes, stanzas)) + b"---"
    return signed + b" " + encode(_mac(file_key, signed)).encode() + b"\n"


class _Lines:
    """The lines of a header, each ended by LF. Their total length is limited."""

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
        raise StanzaError("a passphrase cannot stand beside other recipients")


def _mac(file_key: bytes, signed: bytes) -> bytes:
    key = HKDF(SHA256(), 32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, signed, "sha256")
