"""Spools by their names, in whichever folder they lie: that of all, or the spare disk's.

A spool whose disk failed may lie in both: the copy, which has its name only when it is whole, is
as good as the spool, and easier to read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"(\d{8}-\d{6}-[a-z2-7]{8})\.([1-9]\d{0,8})\.spool", re.ASCII)


def life_of(path: Path) -> int:
    """The life in a spool's name; 0 if it is no spool's."""
    match = NAME.fullmatch(path.name)
    return int(match[2]) if match else 0


class Spools:
    """What lies in the folders of spools. Nothing is remembered of it."""

    def __init__(self, first: Path, spare: Path) -> None:
        """`spare` need not be there."""
        self._first = first
        self._spare = spare

    def all(self) -> list[Path]:
        """What is called a spool, whatever it is, by its name.

        Raises `OSError` where nothing can be seen: `glob` would find nothing. A failed disk does
        not hide what its calls have brought to the spare one.
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
        """Those that are called as ours are, by call id."""
        found: dict[str, list[Path]] = {}
        for path in self.all():
            if match := NAME.fullmatch(path.name):
                found.setdefault(match[1], []).append(path)
        return found

    def of(self, call_id: str) -> list[Path]:
        """Those of one call, by life; none where nothing can be seen."""
        try:
            return sorted(self.by_call().get(call_id, ()), key=life_of)
        except OSError:
            return []

    def copies(self, path: Path) -> list[Path]:
        """Where else the same spool may lie, this place last.

        One that its disk does not show is none: should it be seen again, it is found anew, as any
        spool of a call that is archived.
        """
        others = [folder / path.name for folder in (self._first, self._spare)]
        return [*(other for other in others if other != path and os.path.lexists(other)), path]


def _each_once(paths: list[Path]) -> list[Path]:
    return list({path.name: path for path in paths}.values())


def _spools_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.name.endswith(".spool")]
