"""The request and the output that `galwad recordings hold` and `release` have in common."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.client import ask
from galwad.cli.support.console import print_json
from galwad.cli.support.options import required

Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why; the audit records it.")]


def change_retention(
    method: Literal["PUT", "DELETE"], call_id: str, reason: str, server: str
) -> None:
    """Send the request that retains a recording (method PUT) or releases it (method DELETE)."""
    body = {"reason": required("--reason", reason, "claim 17")}
    ask(server, method, f"/recordings/{checked_id(call_id)}/hold", body)


def print_state(call_id: str, state: str, *, as_json: bool) -> None:
    """Print the recording's new state: "held" or "released"."""
    if as_json:
        print_json({"call_id": call_id, "state": state})
    else:
        print(f"{call_id}  {state}")
