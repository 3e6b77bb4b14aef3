"""A decision about the undelivered contact notes of calls: deliver them again, or never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.client import ask
from galwad.cli.support.console import print_json

CallIds: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="CALL_ID...", help="The ids of the calls.")
]


def decide(
    call_ids: Sequence[str],
    action: str,
    server: str,
    body: dict[str, str] | None = None,
    *,
    as_json: bool,
) -> None:
    """Send a decision for each call, and print the calls for which the server has accepted it.

    Raises:
        CliError: A text is not a call id: nothing is sent. Or the server refuses a request: nothing
            is sent for the calls after it.
    """
    decided: list[str] = []
    try:
        for call_id in [checked_id(each) for each in call_ids]:
            ask(server, "POST", f"/contacts/{call_id}/{action}", body)
            decided.append(call_id)
    finally:
        if as_json:
            print_json(decided)
        else:
            for call_id in decided:
                print(call_id)
