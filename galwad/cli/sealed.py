"""Opening what is sealed, on the officer's machine, with faults told as one line and a hint."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from galwad.cli.console import CliError
from galwad.cli.passphrases import passphrase_of
from recording.age.file import Identity, open_parts
from recording.age.identity_file import IdentityFile
from recording.errors import AgeError, ArchiveError, KeyFileError, NoMatchError, RecordingError
from recording.keys.keyring import OfficerKeys


def read_identity(path: Path) -> IdentityFile:
    """An identity file, opened; asks for its passphrase if it has one."""
    try:
        return IdentityFile.read(path, passphrase_of)
    except (KeyFileError, AgeError) as error:
        raise hinted(error, "an identity file is what `galwad keys init` made") from None


def signer_of(file: IdentityFile) -> list[str]:
    """The public signing key of an officer's file; none of a plain identity file."""
    try:
        return [OfficerKeys.of(file).public_key]
    except KeyFileError:
        return []


@contextmanager
def opened(header: bytes, payload: BinaryIO, identities: Sequence[Identity]) -> Iterator[BinaryIO]:
    """The recording inside; a fault found while it is read is ours to tell, too."""
    try:
        yield io.BufferedReader(open_parts(header, payload, identities))
    except NoMatchError:
        raise CliError(
            "this identity does not open this recording",
            "it was sealed to others: `galwad keys show` prints yours, its manifest theirs",
        ) from None
    except ArchiveError as error:
        raise CliError(
            f"the recording is damaged: {error}", "fetch it again, or restore it from a copy"
        ) from None


def hinted(error: RecordingError, otherwise: str) -> CliError:
    """An error of the recording package, with its own hint or another."""
    return CliError(str(error), getattr(error, "hint", "") or otherwise)
