"""A passphrase as an age recipient and identity.

https://c2sp.org/age, "The scrypt recipient type". It serves officers' identity files, on the
officer's machine. The server has no passphrase: it seals to X25519 only, and so never needs the
memory that scrypt takes, which is 1 KiB for each unit of N.
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
"""The work factor that `age -p` uses: 256 MiB and about a second."""
MAX_WORK_FACTOR: Final = 22
"""The highest work factor that `age` accepts: 4 GiB."""
_LABEL: Final = b"age-encryption.org/v1/scrypt"
_ZERO_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase, which both encrypts and decrypts. Its `repr` does not show it.

    Text from a terminal or the environment that is not UTF-8 (lone surrogates, as Python reads it)
    counts as its original bytes.

    Raises:
        KeyTextError: The passphrase is empty, or is not text.
    """

    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR
    """log2 of scrypt's N, for encryption."""
    max_work_factor: int = MAX_WORK_FACTOR
    """The highest work factor that is accepted for decryption."""

    def __post_init__(self) -> None:
        if not self._octets():
            raise KeyTextError("a passphrase cannot be empty")

    def wrap(self, file_key: bytes) -> Stanza:
        """Return a stanza that holds the file key for those who know the passphrase.

        Raises:
            WorkFactorError: There is not enough memory.
        """
        salt = os.urandom(SALT)
        body = self._cipher(salt, self.work_factor).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza((SCRYPT, encode(salt), str(self.work_factor)), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key; None for a stanza of another kind or for another passphrase.

        Raises:
            HeaderError: The stanza is of type scrypt, but malformed.
            WorkFactorError: The stanza requires more work than is accepted, or more memory than
                there is.
        """
        if stanza.kind != SCRYPT:
            return None
        salt, factor = scrypt_parameters(stanza)
        if factor > self.max_work_factor:
            raise WorkFactorError(f"work factor {factor}: {self.max_work_factor} is the most")
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
            raise KeyTextError("a passphrase that is no text") from None
