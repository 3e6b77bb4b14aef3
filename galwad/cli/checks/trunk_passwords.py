"""Checks of the passwords of our accounts at trunks, which only the switch should get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from galwad.cli.checks.credentials import stored, unreadable
from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.settings import Settings

_NAME: Final = "trunks"


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check that each password can be read, and that it is not in the settings."""
    for trunk in settings.trunks:
        if trunk.password is not None:
            yield warning(
                _NAME,
                f"the password of trunk {trunk.name} is in the settings, which the desk and the "
                "finaliser can read too",
                f"put it into /etc/credstore/galwad.trunk.{trunk.name}, readable only for root, "
                'and use "password_file" in its place',
            )
        elif trunk.password_file is not None:
            path = stored(trunk.password_file)
            problem = unreadable(path)
            if problem:
                fix = "put the password there, readable only for root, and restart galwad-switch"
                yield fault(_NAME, f"{path} {problem}", fix)
            else:
                yield fine(_NAME, f"the password of trunk {trunk.name} can be read")
