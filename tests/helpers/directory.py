"""Import people from a text, as `galwad directory import` does from a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

from callerid.directory import ImportResult, new_directory
from callerid.import_file import ImportFile, ImportRow


def import_people(
    path: Path,
    text: str,
    absent: Literal["keep", "remove"] = "keep",
    on_fault: Literal["refuse", "skip"] = "refuse",
) -> ImportResult:
    """Replace the directory at `path` by one with the people of this CSV text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(path) as new:
        result = new.fill(ImportFile(io.BytesIO(text.encode()), on_fault=on_fault), absent)
        new.put_in_force()
    return result


def read_people(content: str | bytes) -> list[ImportRow]:
    """Return the rows of a CSV file with this content, or raise its faults."""
    file = ImportFile(io.BytesIO(content.encode() if isinstance(content, str) else content))
    rows = list(file.rows())
    file.check()
    return rows
