"""An officer's key file in its folder, and its public halves."""

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
    """Turn the faults of key files and recipient sets into `CliError`s."""
    try:
        yield
    except (KeyFileError, KeySetError, AgeError) as error:
        raise as_cli_error(error, "nothing was written") from None


def key_file(folder: Path) -> Path:
    """Return a folder's key file: the protected one only if there is no other.

    A path that is not a folder is returned unchanged.
    """
    if not folder.is_dir():
        return folder
    return folder / (PROTECTED if key_files(folder) == [PROTECTED] else PLAIN)


def key_files(folder: Path) -> list[str]:
    """Return the names of the key files in a folder."""
    return [name for name in (PLAIN, PROTECTED) if (folder / name).exists()]


def load_officer(folder: Path) -> OfficerKeys:
    """Return the keys in a folder; ask for the passphrase if they have one."""
    return OfficerKeys.load(key_file(folder), passphrase_of)


def print_public(officer: OfficerKeys, file: Path, *, as_json: bool) -> None:
    """Print the public halves of an officer's keys."""
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
