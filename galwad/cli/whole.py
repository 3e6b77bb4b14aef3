"""Files that appear whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galwad.cli.console import CliError


@contextmanager
def whole_file(path: Path, *, replace: bool, mode: int = 0o600) -> Iterator[io.BufferedRandom]:
    """A file to write (and read back), which gets its name only when all went well.

    It is written beside its place, synchronised, and linked there; without `replace`, a file
    that has appeared there meanwhile is kept and ours is not.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            part.replace(path)
        else:
            os.link(part, path)
    except FileExistsError:
        raise CliError(f"{path} exists", "name another, or replace it with --force") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CliError(f"{path} cannot be written: {reason}", "nothing was written") from None
    finally:
        part.unlink(missing_ok=True)
