"""Call ids as command-line arguments."""

from __future__ import annotations

from galwad.call_id import is_call_id
from galwad.cli.support.console import CliError


def checked_id(call_id: str) -> str:
    """Return `call_id` if it is a call id, which is safe as part of a URL's path.

    Raises:
        CliError: It is not a call id.
    """
    if not is_call_id(call_id):
        raise CliError(
            f'"{call_id}" is not a call id',
            "a call id looks like 20261125-093000-abcdefgh",
            status=2,
        )
    return call_id
