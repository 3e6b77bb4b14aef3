"""Checks of the provider of the sign-in in the settings: its secret and certificates.

No request is sent. The settings themselves are only loaded if the address is valid.
"""

from __future__ import annotations

from collections.abc import Iterator

from galwad.cli.checks.credentials import check_files
from galwad.cli.checks.result import CheckResult
from galwad.settings import Settings
from galwad.settings.sign_in import SignInSection


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check that each file can be read and is what the setting needs."""
    if settings.sign_in is not None:
        usable = "the settings and files of the sign-in at the provider can be used"
        yield from check_files("sign-in", "sign_in", settings.sign_in, _use, usable)


def _use(section: SignInSection) -> None:
    # This import loads the HTTP client.
    from callerid.authentication import read_secret  # noqa: PLC0415
    from callerid.json_client import tls_context  # noqa: PLC0415

    read_secret(section.secret_file)
    tls_context(section.tls)
