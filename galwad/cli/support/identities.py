"""Functions that read passphrases, identities, public keys and trust files, and open recordings.

Failures are raised as `CliError`s.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import typer

from galwad.cli.support.console import CliError
from recording.age.file import Identity, open_parts
from recording.age.identity_file import IdentityFile
from recording.errors import (
    AgeError,
    ArchiveError,
    KeyFileError,
    KeySetError,
    NoMatchError,
    RecordingError,
)
from recording.files.atomic import read_small
from recording.keys.keyring import OfficerKeys, parse_public
from recording.keys.signed_document import TRUST_FILE_NAME, trusted_nodes

VARIABLE: Final = "GALWAD_PASSPHRASE"
MIN_LENGTH: Final = 12
"""The minimum length of a new passphrase in characters.

A thief who has the file can try any number of passphrases, so a short passphrase is not safe.
"""


def passphrase_of(path: Path) -> str:
    """Return a key file's passphrase: $GALWAD_PASSPHRASE, or what is typed. Raises `CliError`."""
    return os.environ.get(VARIABLE, "") or _asked(f"Passphrase of {path}", twice=False)


def new_passphrase(variable: str = VARIABLE, what: str = "New passphrase") -> str:
    """Return a passphrase for a new file: that in the environment's `variable`, or one typed twice.

    Raises `CliError` if the passphrase is too short, or if there is no terminal to ask the user.
    """
    given = os.environ.get(variable, "")
    wanted = f"{what} (at least {MIN_LENGTH} characters)"
    text = given or _asked(wanted, twice=True, variable=variable)
    if len(text) < MIN_LENGTH:
        raise CliError(
            f"the passphrase has fewer than {MIN_LENGTH} characters", "use five words or more"
        )
    return text


def _asked(what: str, *, twice: bool, variable: str = VARIABLE) -> str:
    if not sys.stdin.isatty():
        raise CliError(
            "a passphrase is required, and there is no terminal to ask for it",
            f"set ${variable} to the passphrase",
            status=2,
        )
    again = "The same passphrase again" if twice else False
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=again, err=True))


def read_identity(path: Path) -> IdentityFile:
    """Read an identity file. If the file is encrypted, get the passphrase from `passphrase_of`."""
    try:
        return IdentityFile.read(path, passphrase_of)
    except (KeyFileError, AgeError) as error:
        raise as_cli_error(
            error, "use an identity file, such as `galwad keys init` makes"
        ) from None


def signer_of(file: IdentityFile) -> list[str]:
    """Return the public signing key in an officer's key file, in a list; [] if it has none."""
    try:
        return [OfficerKeys.of(file).public_key]
    except KeyFileError:
        return []


@contextmanager
def opened(header: bytes, payload: BinaryIO, identities: Sequence[Identity]) -> Iterator[BinaryIO]:
    """Yield a file from which the decrypted recording is read.

    Raises `CliError` if none of the identities can decrypt the recording, or if the recording is
    damaged. If it is damaged, the error may be raised only when the yielded file is read.
    """
    try:
        yield io.BufferedReader(open_parts(header, payload, identities))
    except NoMatchError:
        raise CliError(
            "this identity does not open this recording",
            "use the identity of one of its recipients: its manifest has their fingerprints, and "
            "`galwad keys show` prints yours",
        ) from None
    except ArchiveError as error:
        raise CliError(
            f"the recording is damaged: {error}", "fetch it again, or restore it from a copy"
        ) from None


def as_cli_error(error: RecordingError, otherwise: str) -> CliError:
    """Return a `CliError` for `error`. If `error` has no hint, the hint is `otherwise`."""
    return CliError(str(error), getattr(error, "hint", "") or otherwise)


def public_key(text: str, option: str) -> str:
    """Return a public signing key as base64 text: `text`, or the contents of the file `text`.

    Raises `CliError` if `text` is neither a public key nor the path of a file with a public key.
    The error names `option`.
    """
    path = Path(text)
    try:
        found = path.read_text(encoding="ascii").strip() if path.is_file() else text
        parse_public(found)
    except (KeySetError, OSError, UnicodeDecodeError):
        raise CliError(
            f"{option} is not a public key",
            "give the 44 characters (base64) of the key, or a file that holds them",
            status=2,
        ) from None
    return found


def trusted_keys(
    trust: Path | None, identity: Path | None, officers: Sequence[str]
) -> Sequence[str]:
    """Return the public keys of the nodes that the trust file `trust` names.

    If `trust` is None, the trust file beside the key file `identity` is used. If that file does not
    exist, the result is empty. Raises `CliError` if the file cannot be read, or if none of
    `officers` (public signing keys) signed it.
    """
    if trust is None:
        beside = None if identity is None else identity.parent / TRUST_FILE_NAME
        if beside is None or not beside.is_file():
            return ()
        trust = beside
    if not officers:
        raise CliError(
            "the trust file proves nothing without the key of the officer who signed it",
            "add --officer-key, or --identity with the officer's key file",
            status=2,
        )
    try:
        return trusted_nodes(read_small(trust), officers)
    except KeySetError as error:
        raise CliError(f"{trust}: {error}", error.hint) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"cannot read {trust}: {reason}", "choose another file") from None
