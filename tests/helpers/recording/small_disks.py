"""Disks that tests fill up: a real one, and a limit on the length of files."""

import contextlib
from pathlib import Path

from helpers.file_sizes import file_size_limit


class SmallTmpfs:
    """A separate small file system that tests fill up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        self._filler.unlink()


class SmallFiles:
    """A limit that stops files from growing while the disk is 'full', with another error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._limit = contextlib.ExitStack()

    def fill(self) -> None:
        largest = max(path.stat().st_size for path in self.folder.iterdir())
        self._limit.enter_context(file_size_limit(largest + 40))

    def free(self) -> None:
        self._limit.close()
