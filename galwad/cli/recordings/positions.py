"""Positions and lengths in a recording, as command-line arguments: `80`, `1:20`, `1:02:03.5`."""

from __future__ import annotations

import re
from typing import Final

from galwad.cli.support.console import CliError

_TIME: Final = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{1,9})?)")


def read_position(text: str, option: str) -> float | None:
    """Return a position or a length as a number of seconds; None if `text` is empty.

    `text` has the form `80` (seconds), `1:20` (minutes) or `1:02:03.5` (hours). `option` is the
    name of the command-line option, which the error names.

    Raises:
        CliError: `text` has another form.
    """
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise CliError(
            f'cannot read {option} "{text}"', "write it as 1:20, 80 or 1:02:03", status=2
        )
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest
