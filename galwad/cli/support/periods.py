"""Read periods that the user gives in words, such as `yesterday`, `last week` or `2026-11-24`."""

from __future__ import annotations

import time

from galwad.cli.support.centre_time import centre_zone
from galwad.cli.support.console import CliError
from galwad.periods import HINT, Period, period


def read_period(words: str, option: str) -> Period | None:
    """Return the period that `words` describe, such as "last week"; None if `words` is empty.

    Days are those of the centre's time zone, as far as the command knows it already; else of UTC.

    Raises:
        CliError: The words cannot be read. The message contains `option`, the name of the option.
    """
    if not words:
        return None
    try:
        return period(words, time.time(), centre_zone())
    except ValueError:
        raise CliError(f'cannot read {option} "{words}"', HINT, status=2) from None


def checked_period(words: str, option: str) -> str:
    """Return `words` unchanged if they can be read as a period.

    Only the server turns the words into a period, because the server knows the centre's time zone.

    Raises:
        CliError: The words cannot be read. The message contains `option`, the name of the option.
    """
    read_period(words, option)
    return words
