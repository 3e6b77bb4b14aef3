"""Periods in words, as arguments of commands: `yesterday`, `last week`, `2026-11-24`."""

from __future__ import annotations

import time

from galwad.cli.support.console import CliError
from galwad.periods import HINT, Period, period


def read_period(words: str, option: str) -> Period | None:
    """Return the period that the words of an option mean; None for an empty text.

    Raises:
        CliError: The words cannot be read.
    """
    if not words:
        return None
    try:
        return period(words, time.time())
    except ValueError:
        raise CliError(f'cannot read {option} "{words}"', HINT, status=2) from None


def checked_period(words: str, option: str) -> str:
    """Return the words if they can be read; the server interprets them by the centre's days."""
    read_period(words, option)
    return words
