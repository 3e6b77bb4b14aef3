"""`galwad keys init`: make an officer's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.keys.key_files import PLAIN, PROTECTED, key_errors, key_files, print_public
from galwad.cli.support.console import CliError
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json
from galwad.cli.support.passphrases import VARIABLE, new_passphrase
from recording.age.passphrase import Passphrase
from recording.keys.keyring import OfficerKeys

app = new_command()


@app.command(epilog="Example: galwad keys init ~/galwad-keys")
def init(
    folder: Annotated[Path, typer.Argument(help="The folder; it is created if it does not exist.")],
    *,
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase", help=f"Protect it with a passphrase: asked for, or from ${VARIABLE}."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Create FOLDER/identity.txt with your two keys: an identity and a signing key.

    The identity opens recordings. The signing key signs the set of people who can open recordings.
    Only you can read the file. Keep a copy of the file in a safe place, because without an identity
    no recording can ever be opened. Never put the file on the server.

    With --passphrase, the file is FOLDER/identity.age, which can be opened only with the
    passphrase. `age -d` and every command that reads the file ask for the passphrase.
    """
    name = PROTECTED if passphrase else PLAIN
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "cannot be made").lower()
        raise CliError(f"cannot create {folder}: {reason}", "choose another folder") from None
    if there := key_files(folder):
        raise CliError(
            f"{folder / there[0]} already exists",
            "choose another folder: keys are never overwritten",
        )
    secret = Passphrase(new_passphrase()) if passphrase else None
    with key_errors():
        made = OfficerKeys.generate()
        made.save(folder / name, secret)
    print_public(made, folder / name, as_json=json)
