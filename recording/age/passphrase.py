"""A passphrase as an age recipient and identity.

The source is https://c2sp.org/age, section "The scrypt recipient type". Passphrases protect
officers' identity files, on the officer's machine. The server uses only X25519 recipients, never a
passphrase, so it does not need the memory that scrypt needs. This memory is 1 KiB multiplied by
scrypt's parameter N.
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
"""The work factor that `age -p` uses: scrypt then needs 256 MiB of memory and about a second."""
MAX_WORK_FACTOR: Final = 22
"""The highest work factor that `age` accepts: scrypt then needs 4 GiB of memory."""
_LABEL: Final = b"age-encryption.org/v1/scrypt"
_ZERO_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase, which is both a recipient and an identity.

    The object's `repr` does not show the passphrase. A passphrase from a terminal or from the
    environment may have bytes that are not UTF-8. Python replaces each such byte by a lone
    surrogate, and this class replaces the surrogates by the original bytes again.

    Raises:
        KeyTextError: The passphrase is empty, or has a surrogate that does not stand for a byte.
    """

    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR
    """The work factor for encryption: log2 of scrypt's parameter N."""
    max_work_factor: int = MAX_WORK_FACTOR
    """The highest work factor (log2 of scrypt's parameter N) that is accepted for decryption."""

    def __post_init__(self) -> None:
        if not self._octets():
            raise KeyTextError("a passphrase cannot be empty")

    def wrap(self, file_key: bytes) -> Stanza:
        """Encrypt the file key with the passphrase, and return a stanza with the result.

        Raises:
            WorkFactorError: There is not enough memory for scrypt.
        """
        salt = os.urandom(SALT)
        body = self._cipher(salt, self.work_factor).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza((SCRYPT, encode(salt), str(self.work_factor)), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Decrypt the file key in a stanza, and return it.

        Return None if the type of the stanza is not scrypt, or if the stanza was made with another
        passphrase.

        Raises:
            HeaderError: The stanza has the type scrypt, but is malformed.
            WorkFactorError: The stanza's work factor is too high, or this machine does not have
                enough memory for it.
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
