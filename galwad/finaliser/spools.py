"""Finds the spool files in the first spool folder, and in the spool folder on the spare disk.

If the first disk fails during a call, the switch begins a new spool on the spare disk, and copies
the earlier spools of the call to it. A copy gets its final name only when it is complete. From then
on, the copy is used, because the failed disk may be hard to read.

`Share` says which worker process follows and seals a call.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from recording.call_id import CALL_ID

NAME: Final = re.compile(rf"({CALL_ID})\.([1-9]\d{{0,8}})\.spool", re.ASCII)


def life_of(path: Path) -> int:
    """Return the life number in a spool's file name; 0 if the file name is not that of a spool."""
    match = NAME.fullmatch(path.name)
    return int(match[2]) if match else 0


class Spools:
    """The files in the two spool folders. Each method reads the folders again."""

    def __init__(self, first: Path, spare: Path) -> None:
        """Take the paths of the folders. The folder on the spare disk need not exist."""
        self._first = first
        self._spare = spare

    def all(self) -> list[Path]:
        """Return each file `*.spool` of the two folders.

        If both have a file of the same name, return the file on the spare disk. If the first folder
        cannot be read, return only the spools on the spare disk.

        Raises:
            OSError: The first folder cannot be read, and there are no spools on the spare disk. Or
                the folder on the spare disk exists but cannot be read.
        """
        return self._named("")

    def _named(self, prefix: str) -> list[Path]:
        spare = list(self._spares(prefix))
        try:
            found = _spools_in(self._first, prefix)
        except OSError:
            if not spare:
                raise
            found = []
        return _each_once([*found, *spare])

    def _spares(self, prefix: str) -> Iterator[Path]:
        try:
            yield from _spools_in(self._spare, prefix)
        except FileNotFoundError:  # The switch has not created the folder yet.
            return

    def by_call(self) -> dict[str, list[Path]]:
        """Return the paths of all spools with a valid name, by call id."""
        return _by_call(self.all())

    def of(self, call_id: str) -> list[Path]:
        """Return the spools of one call, sorted by life; [] if the folders cannot be read."""
        try:
            found = self._named(f"{call_id}.")
        except OSError:
            return []
        return sorted(_by_call(found).get(call_id, ()), key=life_of)

    def places(self, path: Path) -> list[Path]:
        """Return every path at which the spool at `path` is stored, with `path` at the end.

        A path in a folder that cannot be read now is left out.
        """
        others = [folder / path.name for folder in (self._first, self._spare)]
        return [*(other for other in others if other != path and os.path.lexists(other)), path]


def _by_call(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        if match := NAME.fullmatch(path.name):
            found.setdefault(match[1], []).append(path)
    return found


def _each_once(paths: list[Path]) -> list[Path]:
    return list({path.name: path for path in paths}.values())


def _spools_in(folder: Path, prefix: str) -> list[Path]:
    # `glob` is not used, because it would hide an error.
    names = os.listdir(folder)  # noqa: PTH208 - paths of all files would take several times as long
    return [folder / name for name in names if name.startswith(prefix) and name.endswith(".spool")]


@dataclass(frozen=True, slots=True)
class Share:
    """The calls of the worker `number`, from 0; a call always belongs to the same worker."""

    number: int
    workers: int

    def has(self, call_id: str) -> bool:
        """Return whether a call belongs to this share."""
        return number_of(call_id, self.workers) == self.number


def number_of(call_id: str, workers: int) -> int:
    """Return the number of the worker that follows and seals a call."""
    return crc32(call_id.encode()) % workers


WHOLE: Final = Share(0, 1)
"""The share of the only worker: all calls."""
