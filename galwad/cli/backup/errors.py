"""Conversion of the errors of backups and restores into `CliError`s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galwad.cli.support.console import CliError


@contextmanager
def backup_errors(where: Path, hint: str) -> Iterator[None]:
    """Turn an error of a backup or a restore into a `CliError`.

    If an `OSError` contains no file name, the message contains the path `where`. `hint` says what
    the user can do.
    """
    from galwad.desk.maintenance.backup_proof import BackupError  # noqa: PLC0415 - it loads much

    try:
        yield
    except BackupError as error:
        raise CliError(str(error), error.hint) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CliError(f"{error.filename or where}: {reason}", hint) from None
