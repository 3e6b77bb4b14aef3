"""Checks of the provider of the sign-in in the settings: its secret and certificates.

No request is sent. The settings themselves are only loaded if the address is valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config.settings import Settings
from galwad.cli.checks.credentials import files_of, unreadable, with_stored_files
from galwad.cli.checks.result import CheckResult, fault, fine

_NAME: Final = "sign-in"
_STORE: Final = "put it into /etc/credstore, readable only for root, and restart galwad-desk"


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check that each file can be read and is what the setting needs."""
    if settings.sign_in is None:
        return
    # This import loads the HTTP client.
    from callerid.authentication import read_secret  # noqa: PLC0415
    from callerid.errors import SourceError  # noqa: PLC0415
    from callerid.json_client import TlsFiles, tls_context  # noqa: PLC0415

    section = with_stored_files(settings.sign_in)
    problems = [f"{path} {problem}" for path in files_of(section) if (problem := unreadable(path))]
    for problem in problems:
        yield fault(_NAME, problem, _STORE)
    if problems:
        return
    try:
        read_secret(section.secret_file)
        tls_context(TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key))
    except SourceError as error:
        yield fault(_NAME, str(error), "correct the file, or the settings in [sign_in]")
    else:
        yield fine(_NAME, "the settings and files of the sign-in at the provider can be used")
