"""The encryption of secrets in the database with a key that is not in the database.

The key is in a file of this node, and in no backup. So a copy of the database, such as a backup,
shows no secret. The box of a secret is bound to the user: it cannot be opened for another user.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recording.files.atomic import write_atomic

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SecretBoxError(Exception):
    """A secret cannot be encrypted or decrypted, because the file with the key is not usable."""


class SecretBox:
    """Encrypts and decrypts secrets with the key in the file `path` (AES-256-GCM).

    The first secret creates the file, with the mode 0600, if it does not exist. A file that is
    damaged is never replaced, because a person may be able to repair it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""

    def seal(self, user: str, secret: bytes) -> str:
        """Return the encrypted secret of a user, in base64.

        Raises:
            SecretBoxError: The key cannot be read or created.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key = self._key or self._load(create=True)
        box = AESGCM(key).encrypt(nonce, secret, user.encode())
        return base64.b64encode(nonce + box).decode()

    def open(self, user: str, sealed: str) -> bytes:
        """Return the secret of a user that `seal` has encrypted.

        Raises:
            SecretBoxError: The key cannot be read, or is not the one that encrypted the secret.
        """
        box = base64.b64decode(sealed)
        try:
            cipher = AESGCM(self._key or self._load(create=False))
            return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], user.encode())
        except InvalidTag:
            raise SecretBoxError(f"{self._path} has another key") from None

    def _load(self, *, create: bool) -> bytes:
        try:
            key = self._path.read_bytes()
        except FileNotFoundError:
            if not create:
                raise SecretBoxError(f"{self._path} does not exist") from None
            key = self._create()
        except OSError as error:
            raise SecretBoxError(f"cannot read {self._path}: {error.strerror}") from None
        if len(key) != _KEY_BYTES:
            raise SecretBoxError(f"{self._path} is damaged")
        self._key = key
        return key

    def _create(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        try:
            write_atomic(self._path, key, 0o600)
        except OSError as error:
            raise SecretBoxError(f"cannot write {self._path}: {error.strerror}") from None
        return key
