"""Decrypt recordings on the officer's machine. Failures are raised as `CliError`s."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from galwad.cli.support.console import CliError
from galwad.cli.support.passphrases import passphrase_of
from recording.age.file import Identity, open_parts
from recording.age.identity_file import IdentityFile
from recording.errors import AgeError, ArchiveError, KeyFileError, NoMatchError, RecordingError
from recording.keys.keyring import OfficerKeys


def read_identity(path: Path) -> IdentityFile:
    """Read an identity file. If the file is encrypted, get the passphrase from `passphrase_of`."""
    try:
        return IdentityFile.read(path, passphrase_of)
    except (KeyFileError, AgeError) as error:
        raise as_cli_error(
            error, "use an identity file, such as `galwad keys init` makes"
        ) from None


def signer_of(file: IdentityFile) -> list[str]:
    """Return an officer's public signing key, as a list with one item.

    `file` is the content of the officer's key file. If the file has no signing key, return an empty
    list.
    """
    try:
        return [OfficerKeys.of(file).public_key]
    except KeyFileError:
        return []


@contextmanager
def opened(header: bytes, payload: BinaryIO, identities: Sequence[Identity]) -> Iterator[BinaryIO]:
    """Yield a file from which the decrypted recording is read.

    Raises:
        CliError: None of the identities can decrypt the recording, or the recording is damaged. If
            it is damaged, the error may be raised only when the yielded file is read.
    """
    try:
        yield io.BufferedReader(open_parts(header, payload, identities))
    except NoMatchError:
        raise CliError(
            "this identity does not open this recording",
            "it is sealed to other recipients: compare `galwad keys show` with its manifest",
        ) from None
    except ArchiveError as error:
        raise CliError(
            f"the recording is damaged: {error}", "fetch it again, or restore it from a copy"
        ) from None


def as_cli_error(error: RecordingError, otherwise: str) -> CliError:
    """Return a `CliError` for an error of the package `recording`.

    The hint is the hint of `error` or, if `error` has no hint, the text `otherwise`.
    """
    return CliError(str(error), getattr(error, "hint", "") or otherwise)
