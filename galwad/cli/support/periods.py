"""Periods in words as command-line arguments: `yesterday`, `last week`, `2026-11-24`."""

from __future__ import annotations

import time

from galwad.cli.support.console import CliError
from galwad.periods import HINT, Period, period


def read_period(words: str, option: str) -> Period | None:
    """Return the period that `words` mean; None if `words` is empty.

    `option` is named in the error.

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
    """Return `words` unchanged, if they can be read as a period.

    The server then interprets the words in the centre's time zone.

    Raises:
        CliError: The words cannot be read.
    """
    read_period(words, option)
    return words
