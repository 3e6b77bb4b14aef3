"""A passphrase as an age recipient and identity, for officers' identity files only.

The source is https://c2sp.org/age, section "The scrypt recipient type". The server never uses a
passphrase, so it does not need scrypt's memory: 1 KiB multiplied by the parameter N.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from recording.age.stanza import SALT, SCRYPT, Stanza, encode, scrypt_parameters
from recording.errors import KeyTextError, WorkFactorError

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
    a lone surrogate of each, and this class makes it the byte again.

    Raises:
        KeyTextError: The passphrase is empty, or has a surrogate that does not stand for a byte.
    """

    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR
    """For encryption: log2 of scrypt's parameter N."""
    max_work_factor: int = MAX_WORK_FACTOR
    """The highest accepted for decryption: log2 of scrypt's parameter N."""

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

        Raises:
            HeaderError: The scrypt stanza is malformed.
            WorkFactorError: The work factor is too high, or there is not enough memory for it.
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
