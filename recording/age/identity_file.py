"""Identity files: age identities (private keys). Officers keep these files. The server has none.

Each line is an identity, or a comment such as `# name: value`. `age-keygen` and `galwad keys init`
write such files. `age -p` encrypts one with a passphrase, as binary or armored data.

The passphrase follows https://c2sp.org/age, section "The scrypt recipient type". With its parameter
N, scrypt needs N KiB of memory.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from recording.age.file import BEGIN, Identity, armored, dearmored, decrypt_small, encrypt_small
from recording.age.header import (
    MAGIC,
    SALT,
    SCRYPT,
    Header,
    Stanza,
    check_native,
    encode,
    scrypt_parameters,
)
from recording.errors import AgeError, KeyFileError, KeyTextError, NoMatchError, WorkFactorError
from recording.files.atomic import read_small

WORK_FACTOR: Final = 18
"""The work factor of `age -p`: scrypt needs 256 MiB of memory and about a second."""
MAX_WORK_FACTOR: Final = 22
"""The highest work factor that `age` accepts: scrypt needs 4 GiB of memory."""
_LABEL: Final = b"age-encryption.org/v1/scrypt"
_ZERO_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase, which is both a recipient and an identity. Its `repr` does not show the text.

    A passphrase from a terminal or the environment may have bytes that are not UTF-8. Python makes
    a lone surrogate of each such byte, and this class turns it back into the byte. `KeyTextError`
    is raised if the passphrase is empty, or has a surrogate that does not stand for a byte.
    """

    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR
    """For encryption: log2 of scrypt's parameter N."""
    max_work_factor: int = MAX_WORK_FACTOR
    """The highest work factor that is accepted for decryption."""

    def __post_init__(self) -> None:
        if not self._octets():
            raise KeyTextError("a passphrase cannot be empty")

    def wrap(self, file_key: bytes) -> Stanza:
        """Encrypt the file key. Raises `WorkFactorError` if memory for scrypt is lacking."""
        salt = os.urandom(SALT)
        body = self._cipher(salt, self.work_factor).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza((SCRYPT, encode(salt), str(self.work_factor)), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the decrypted file key; None for another type of stanza or another passphrase.

        Raises `HeaderError` if the stanza is malformed, and `WorkFactorError` if its work factor is
        above the limit or needs more memory than there is.
        """
        if stanza.kind != SCRYPT:
            return None
        salt, factor = scrypt_parameters(stanza)
        if factor > self.max_work_factor:
            raise WorkFactorError(
                f"work factor {factor} is above the limit of {self.max_work_factor}"
            )
        try:
            return self._cipher(salt, factor).decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None

    def _cipher(self, salt: bytes, factor: int) -> ChaCha20Poly1305:
        try:
            scrypt = Scrypt(_LABEL + salt, length=32, n=1 << factor, r=8, p=1)
            return ChaCha20Poly1305(scrypt.derive(self._octets()))
        except MemoryError:
            raise WorkFactorError(f"work factor {factor}: not enough memory") from None

    def _octets(self) -> bytes:
        try:
            return self.text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise KeyTextError("the passphrase is not valid text") from None


Ask = Callable[[Path], str]
"""Asks the user for the passphrase of the file with this path."""
_WANTED: Final = "use an age identity file"


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """The identities and comments (`# name: value`) in a file. Its `repr` shows no secrets."""

    path: Path
    identities: tuple[Identity, ...]
    """At least one."""
    comments: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, path: Path, ask: Ask | None = None) -> Self:
        """Read an identity file. Call `ask` if a passphrase protects it.

        Raises `KeyFileError` if the file is missing or malformed, or if it has no passphrase and
        other users have access to it. If the file has a passphrase, `KeyFileError` is also raised
        if `ask` is None or returns a wrong passphrase.
        """
        try:
            data = read_small(path)
            if _protected(data):
                data = _opened(path, data, ask)
            elif path.stat().st_mode & 0o077:
                raise KeyFileError(f"{path} is accessible to other users", f"chmod 600 {path}")
            lines = [line.strip() for line in data.decode().splitlines()]
        except OSError as error:
            raise KeyFileError(f"{path}: {(error.strerror or '').lower()}") from None
        except UnicodeDecodeError:
            raise KeyFileError(f"{path} is not an identity file", _WANTED) from None
        try:
            keys = [line for line in lines if line and not line.startswith("#")]
            found = tuple(Identity.parse(line) for line in keys)
        except AgeError as error:
            raise KeyFileError(f"{path}: {error}", _WANTED) from None
        if not found:
            raise KeyFileError(f"{path} contains no identity", _WANTED)
        comments = [line[1:].partition(": ") for line in lines if line.startswith("#")]
        return cls(path, found, {name.strip(): text.strip() for name, _, text in comments})


def protected(text: str, passphrase: Passphrase) -> bytes:
    """Encrypt an identity file with a passphrase, in ASCII armor, which can be printed."""
    return armored(encrypt_small(text.encode(), [passphrase]))


def _protected(data: bytes) -> bool:
    return data.startswith(MAGIC) or data.lstrip().startswith(BEGIN)


def _opened(path: Path, data: bytes, ask: Ask | None) -> bytes:
    if ask is None:
        raise KeyFileError(f"{path} is protected by a passphrase", "open it with: age -d")
    try:
        sealed = data if data.startswith(MAGIC) else dearmored(data)
        stanza = Header.read(io.BytesIO(sealed)).stanzas[0]
        check_native(stanza)
        if stanza.kind != SCRYPT:
            raise KeyFileError(f"{path} is encrypted to keys, not with a passphrase", _WANTED)
        return decrypt_small(sealed, [Passphrase(ask(path))])
    except NoMatchError:
        raise KeyFileError(
            f"{path}: the passphrase is wrong", "check caps lock and the keyboard's layout"
        ) from None
    except AgeError as error:
        raise KeyFileError(
            f"{path}: {error}", "if the file is damaged, restore it from a copy"
        ) from None
