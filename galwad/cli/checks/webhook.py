"""Checks of the receiver of call events in the settings: its secrets and certificates.

No request is sent. The settings themselves are only loaded if the address is valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config.settings import Settings
from galwad.cli.checks.credentials import files_of, unreadable, with_stored_files
from galwad.cli.checks.result import CheckResult, fault, fine

_NAME: Final = "webhook"
_STORE: Final = "put it into /etc/credstore, readable only for root, and restart galwad-desk"


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check that each file can be read and is what the setting needs."""
    if settings.webhook is None:
        return
    # This import loads the HTTP client.
    from callerid.errors import SourceError  # noqa: PLC0415
    from galwad.desk.webhooks.receiver import check_files  # noqa: PLC0415

    section = with_stored_files(settings.webhook)
    problems = [f"{path} {problem}" for path in files_of(section) if (problem := unreadable(path))]
    for problem in problems:
        yield fault(_NAME, problem, _STORE)
    if problems:
        return
    try:
        check_files(section)
    except SourceError as error:
        yield fault(_NAME, str(error), "correct the file, or the settings in [webhook]")
    else:
        yield fine(_NAME, "the settings and files of the receiver of call events can be used")
