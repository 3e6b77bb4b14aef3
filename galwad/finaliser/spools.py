"""Finds spools by name in both spool folders: the usual one and the one on the spare disk.

A spool whose disk failed may be in both. The copy gets its name only when it is complete. It is
then as good as the original, and easier to read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"(\d{8}-\d{6}-[a-z2-7]{8})\.([1-9]\d{0,8})\.spool", re.ASCII)


def life_of(path: Path) -> int:
    """Return the life in a spool's name; 0 if it is not the name of a spool."""
    match = NAME.fullmatch(path.name)
    return int(match[2]) if match else 0


class Spools:
    """The files in the two spool folders, read again at each call of a method."""

    def __init__(self, first: Path, spare: Path) -> None:
        """Set the two folders; `spare` need not exist."""
        self._first = first
        self._spare = spare

    def all(self) -> list[Path]:
        """Return every path that ends in `.spool`, each name once.

        A failed first disk does not hide the spools that were written to the spare disk.

        Raises:
            OSError: The first folder cannot be read, and no spool is on the spare disk. (`glob`
                would hide this error.)
        """
        spare = list(self._spares())
        try:
            found = _spools_in(self._first)
        except OSError:
            if not spare:
                raise
            found = []
        return _each_once([*found, *spare])

    def _spares(self) -> Iterator[Path]:
        try:
            yield from _spools_in(self._spare)
        except FileNotFoundError:  # no switch has made it yet
            return

    def by_call(self) -> dict[str, list[Path]]:
        """Return the spools with a valid name, by call id."""
        found: dict[str, list[Path]] = {}
        for path in self.all():
            if match := NAME.fullmatch(path.name):
                found.setdefault(match[1], []).append(path)
        return found

    def of(self, call_id: str) -> list[Path]:
        """Return the spools of one call, by life; [] if no folder can be read."""
        try:
            return sorted(self.by_call().get(call_id, ()), key=life_of)
        except OSError:
            return []

    def places(self, path: Path) -> list[Path]:
        """Return the places of this spool: a copy in the other folder first, then `path`.

        A copy that its disk does not show is left out. If it appears again later, it is found like
        any other spool of an archived call.
        """
        others = [folder / path.name for folder in (self._first, self._spare)]
        return [*(other for other in others if other != path and os.path.lexists(other)), path]


def _each_once(paths: list[Path]) -> list[Path]:
    return list({path.name: path for path in paths}.values())


def _spools_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.name.endswith(".spool")]
