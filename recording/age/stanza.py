"""One stanza of an age header, and the checks that X25519 and scrypt stanzas are well-formed.

The source is https://c2sp.org/age, sections "Recipient stanza", "The X25519 recipient type" and
"The scrypt recipient type".
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from recording.errors import Base64Error, StanzaError, WorkFactorError

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
    """A file key encrypted to one recipient: `body`. The first argument is the stanza's type."""

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

    Raises:
        StanzaError: The stanza is malformed.
        Base64Error: The base64 of an argument is not canonical.
        WorkFactorError: The work factor of a scrypt stanza has too many digits.
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
        raise StanzaError("an X25519 stanza of the wrong length")
    return share


def scrypt_parameters(stanza: Stanza) -> tuple[bytes, int]:
    """Return the salt (16 bytes) and the work factor (log2 of N). Raises as `check_native`."""
    if len(stanza.arguments) != 3:
        raise StanzaError("a scrypt stanza must have two arguments")
    salt, factor = decode(stanza.arguments[1].encode()), stanza.arguments[2]
    if len(salt) != SALT or len(stanza.body) != _WRAPPED:
        raise StanzaError("a scrypt stanza of the wrong length")
    if _DECIMAL.fullmatch(factor) is None:
        raise StanzaError("a work factor must be a decimal number without leading zeros")
    if len(factor) > _MOST_DIGITS:
        raise WorkFactorError("the work factor has too many digits")
    return salt, int(factor)


def encode(data: bytes) -> str:
    """Return `data` as base64 without padding."""
    return base64.b64encode(data).rstrip(b"=").decode()


def decode(text: bytes) -> bytes:
    """Decode base64 without padding.

    Raises:
        Base64Error: The text is not exactly as `encode` writes it.
    """
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if encode(data).encode() != text:
        raise Base64Error("base64 that is not canonical")
    return data
