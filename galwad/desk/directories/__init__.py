"""The directories that the settings name, such as a CRM.

Each kind of directory is a module that opens it.
"""

from __future__ import annotations

from galwad.desk.directories.opener import (
    limits_of,
    open_directories,
    open_directory,
    open_note_destination,
    open_notes,
    record_pages,
)

__all__ = [
    "limits_of",
    "open_directories",
    "open_directory",
    "open_note_destination",
    "open_notes",
    "record_pages",
]
