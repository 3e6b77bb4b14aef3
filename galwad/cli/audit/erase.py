"""`galwad audit erase`: erase names and numbers from an audit entry, with a signed reason."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

app = new_command()


class ErasureReason(StrEnum):
    """The reasons to erase values. The reason stays in the chain, so it is not a free text."""

    RIGHT = "right-to-erasure"
    ORDER = "order"
    MISTAKE = "mistake"


@app.command(epilog="Example: galwad audit erase 4711 --value reference --reason right-to-erasure")
def erase(
    entry: Annotated[int, typer.Argument(min=1, help="The number of the entry.")],
    *,
    reason: Annotated[
        ErasureReason, typer.Option(help="Why they are erased; it stays in the audit for ever.")
    ],
    value: Annotated[
        list[str] | None,
        typer.Option(help="The name of a value, such as actor; by default, all of the entry."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Erase values of one entry, such as a name or a number, because a person has the right to it.

    The chain stays valid, and gets an entry with the reason, which the day's key signs. Without
    such an entry, `audit verify` reports each value that is missing. So values that were deleted
    from the database in another way can be recorded with this command afterwards.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        names = asyncio.run(
            administration(settings).erase_audit_values(entry, value or (), reason.value)
        )
    if json:
        print_json({"entry": entry, "erased": names, "reason": reason.value})
        return
    print(f"entry {entry}: erased {', '.join(names)} ({reason.value})")
