"""Checks of the receiver of call events in the settings: its secrets and certificates.

No request is sent. The settings themselves are only loaded if the address is valid.
"""

from __future__ import annotations

from collections.abc import Iterator

from galwad.cli.checks import credentials
from galwad.cli.checks.result import CheckResult
from galwad.settings import Settings
from galwad.settings.events import WebhookSection


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check that each file can be read and is what the setting needs."""
    if settings.webhook is not None:
        usable = "the settings and files of the receiver of call events can be used"
        yield from credentials.check_files("webhook", "webhook", settings.webhook, _use, usable)


def _use(section: WebhookSection) -> None:
    # This import loads the HTTP client.
    from galwad.desk.webhooks.receiver import check_files  # noqa: PLC0415

    check_files(section)
