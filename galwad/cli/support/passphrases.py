"""Read the passphrases of officers' key files, from the environment or from the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import typer

from galwad.cli.support.console import CliError

VARIABLE: Final = "GALWAD_PASSPHRASE"
MIN_LENGTH: Final = 12
"""The minimum length of a new passphrase in characters.

A thief who has the key file can try any number of passphrases, so a short passphrase is not safe.
"""


def passphrase_of(path: Path) -> str:
    """Return the passphrase of the encrypted key file `path`.

    The passphrase comes from `$GALWAD_PASSPHRASE`. If this variable is not set, the user types it.
    """
    return os.environ.get(VARIABLE, "") or _asked(f"Passphrase of {path}", twice=False)


def new_passphrase() -> str:
    """Return the passphrase for a new key file.

    The passphrase comes from `$GALWAD_PASSPHRASE`. If this variable is not set, the user types the
    passphrase twice.

    Raises:
        CliError: The passphrase is too short. Or the user cannot be asked, because there is no
            terminal.
    """
    given = os.environ.get(VARIABLE, "")
    text = given or _asked(f"New passphrase (at least {MIN_LENGTH} characters)", twice=True)
    if len(text) < MIN_LENGTH:
        raise CliError(
            f"the passphrase has fewer than {MIN_LENGTH} characters", "use five words or more"
        )
    return text


def _asked(what: str, *, twice: bool) -> str:
    if not sys.stdin.isatty():
        raise CliError(
            "a passphrase is required, and there is no terminal to ask for it",
            f"set ${VARIABLE} to it",
            status=2,
        )
    again = "The same passphrase again" if twice else False
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=again, err=True))
