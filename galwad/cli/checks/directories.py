"""Checks of the directories in the settings: their secrets, certificates and templates.

No request is sent. `galwad.cli.checks.directory_answers` asks the directories.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from callerid.errors import CallerIdError
from galwad.cli.checks.credentials import files_of, stored_directory, unreadable
from galwad.cli.checks.result import CheckResult, fault, fine
from galwad.settings import Settings

_NAME: Final = "directories"
_STORE: Final = "put it into /etc/credstore, readable only for root, and restart galwad-desk"


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check that each directory's files can be read and its templates can be filled in."""
    if not settings.directories:
        return
    for section in map(stored_directory, settings.directories):
        problems = [
            f"{path} {problem}" for path in files_of(section) if (problem := unreadable(path))
        ]
        for problem in problems:
            yield fault(_NAME, f"{section.name}: {problem}", _STORE)
        if problems:
            continue
        try:
            section.open()
            section.open_notes()
        except CallerIdError as error:
            yield fault(
                _NAME, f"{section.name}: {error}", "correct the settings in [[directories]]"
            )
        else:
            yield fine(_NAME, f"{section.name}: its settings and files can be used")
