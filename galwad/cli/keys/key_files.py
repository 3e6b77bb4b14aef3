"""Functions that read an officer's key file, and that print the two public keys.

The file has an identity, whose public half is the recipient, and a signing key, whose public half
is the public signing key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from galwad.cli.support.console import print_json
from galwad.cli.support.passphrases import passphrase_of
from galwad.cli.support.sealed import as_cli_error
from recording.errors import AgeError, KeyFileError, KeySetError
from recording.keys.keyring import OfficerKeys, fingerprint

PLAIN: Final = "identity.txt"
PROTECTED: Final = "identity.age"

Folder: TypeAlias = Annotated[Path, typer.Argument(help="The folder that `keys init` made.")]


@contextmanager
def key_errors() -> Iterator[None]:
    """Turn an error of a key file or a recipient set into a `CliError`."""
    try:
        yield
    except (KeyFileError, KeySetError, AgeError) as error:
        raise as_cli_error(error, "nothing was written") from None


def key_file(folder: Path) -> Path:
    """Return the path of the key file in `folder`.

    If the folder has only the key file with a passphrase, return the path of this file. Otherwise
    return the path of the key file without a passphrase, even if this file does not exist. If
    `folder` is not a folder, it is the path of the key file itself and is returned.
    """
    if not folder.is_dir():
        return folder
    return folder / (PROTECTED if key_files(folder) == [PROTECTED] else PLAIN)


def key_files(folder: Path) -> list[str]:
    """Return the names of the key files that exist in `folder`."""
    return [name for name in (PLAIN, PROTECTED) if (folder / name).exists()]


def load_officer(folder: Path) -> OfficerKeys:
    """Return the officer's keys in `folder`; ask for the passphrase if the key file has one."""
    return OfficerKeys.load(key_file(folder), passphrase_of)


def print_public(officer: OfficerKeys, file: Path, *, as_json: bool) -> None:
    """Print the recipient, its fingerprint and the public signing key of an officer.

    The path of the key file, `file`, is printed too.
    """
    recipient = officer.identity.recipient
    if as_json:
        print_json(
            {
                "file": str(file),
                "recipient": str(recipient),
                "fingerprint": fingerprint(recipient),
                "officer_key": officer.public_key,
            }
        )
        return
    print(f"file         {file}")
    print(f"recipient    {recipient}")
    print(f"fingerprint  {fingerprint(recipient)}")
    print("for the server's galwad.toml:")
    print(f'  [recording]\n  officer_key = "{officer.public_key}"')
