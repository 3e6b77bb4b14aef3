"""Check call ids that the user gives as command-line arguments."""

from __future__ import annotations

from galwad.call_id import is_call_id
from galwad.cli.support.console import CliError


def checked_id(call_id: str) -> str:
    """Return `call_id` unchanged if it has the form of a call id.

    Such an id can safely be used as a part of a URL's path.

    Raises:
        CliError: `call_id` does not have the form of a call id.
    """
    if not is_call_id(call_id):
        raise CliError(
            f'"{call_id}" is not a call id',
            "a call id looks like 20261125-093000-abcdefgh",
            status=2,
        )
    return call_id
