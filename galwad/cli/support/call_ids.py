"""Call ids, as arguments of commands."""

from __future__ import annotations

from galwad.call_id import is_call_id
from galwad.cli.support.console import CliError


def checked_id(call_id: str) -> str:
    """Return the call id, once it is checked to be safe as part of a path."""
    if not is_call_id(call_id):
        raise CliError(
            f'"{call_id}" is not a call id',
            "a call id looks like 20261125-093000-abcdefgh",
            status=2,
        )
    return call_id
