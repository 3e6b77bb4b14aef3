"""Identity files in age's format: plain or protected by a passphrase, binary or armored.

They are files that `age-keygen` or `galwad keys init` wrote, or that `age -p` made from such a
file. One line is one identity; a comment `# name: value` adds information. They are stored on
officers' machines, never on the server.
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
"""A function that returns the passphrase of a protected file when it is needed."""
_WANTED: Final = "an age identity file is wanted"


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """The content of an identity file. Its `repr` does not show it."""

    path: Path
    identities: tuple[Identity, ...]
    """At least one identity."""
    comments: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, path: Path, ask: Ask | None = None) -> Self:
        """Open a file; `ask` is called only if the file is protected.

        Only its owner may have access to a plain file. Anyone may read a protected one.

        Raises:
            KeyFileError: The file is missing, malformed or accessible to others; or it is
                protected, and `ask` is not given or returns a wrong passphrase.
        """
        try:
            data = read_small(path)
            if _protected(data):
                data = _opened(path, data, ask)
            elif path.stat().st_mode & 0o077:
                raise KeyFileError(f"{path} is open to others", f"chmod 600 {path}")
            lines = [line.strip() for line in data.decode().splitlines()]
        except OSError as error:
            raise KeyFileError(f"{path}: {(error.strerror or '').lower()}") from None
        except UnicodeDecodeError:
            raise KeyFileError(f"{path} is no identity file", _WANTED) from None
        try:
            keys = [line for line in lines if line and not line.startswith("#")]
            found = tuple(Identity.parse(line) for line in keys)
        except AgeError as error:
            raise KeyFileError(f"{path}: {error}", _WANTED) from None
        if not found:
            raise KeyFileError(f"{path} holds no identity", _WANTED)
        comments = [line[1:].partition(": ") for line in lines if line.startswith("#")]
        return cls(path, found, {name.strip(): text.strip() for name, _, text in comments})


def protected(text: str, passphrase: Passphrase) -> bytes:
    """Encrypt an identity file's text with a passphrase: armored, so that it can be printed."""
    return armored(encrypt_small(text.encode(), [passphrase]))


def _protected(data: bytes) -> bool:
    return data.startswith(MAGIC) or data.lstrip().startswith(BEGIN)


def _opened(path: Path, data: bytes, ask: Ask | None) -> bytes:
    """Return the content of a protected file. Raises `KeyFileError`."""
    if ask is None:
        raise KeyFileError(f"{path} is protected by a passphrase", "open it with: age -d")
    try:
        sealed = data if data.startswith(MAGIC) else dearmored(data)
        stanza = Header.read(io.BytesIO(sealed)).stanzas[0]
        check_native(stanza)
        if stanza.kind != SCRYPT:
            raise KeyFileError(f"{path} is sealed to keys, not by a passphrase", _WANTED)
        return decrypt_small(sealed, [Passphrase(ask(path))])
    except NoMatchError:
        raise KeyFileError(
            f"{path}: the passphrase is wrong", "look at caps lock and the keyboard's layout"
        ) from None
    except AgeError as error:
        raise KeyFileError(f"{path}: {error}", "restore it from its copy") from None
