"""Identity files: age identities (private keys), which officers keep, and never the server.

Each line is an identity, or a comment such as `# name: value`. `age-keygen` and `galwad keys init`
write such files; `age -p` encrypts one with a passphrase, as binary or armored data.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from recording.age.armor import BEGIN, armored, dearmored
from recording.age.file import Header, Identity, decrypt_small, encrypt_small
from recording.age.header import MAGIC
from recording.age.passphrase import Passphrase
from recording.age.stanza import SCRYPT, check_native
from recording.errors import AgeError, KeyFileError, NoMatchError
from recording.files.atomic import read_small

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
        """Read an identity file; call `ask` if a passphrase protects it.

        Raises:
            KeyFileError: The file is missing or malformed. Or it is not protected, and other users
                have access to it. Or it is protected, and `ask` is None or returns a wrong
                passphrase.
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
        raise KeyFileError(f"{path}: {error}", "restore it from its copy") from None
