"""Functions that read an officer's key file, and that print the public halves of its two keys.

The two keys are an identity and a signing key.
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

    If only a key file with a passphrase exists, return its path. Otherwise return the path of the
    key file without a passphrase. If `folder` is itself a key file and not a folder, return
    `folder`.
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
