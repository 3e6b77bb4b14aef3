"""`galwad users rights`: set the rights of a user."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.desk.models.accounts import Right

app = new_command()


@app.command(epilog="Example: galwad users rights gwen --right purge")
def rights(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    right: Annotated[
        list[Right] | None,
        typer.Option(help="A right to have; without this option, the user has none."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Set the rights of a user. The user loses all rights that are not named.

    A machine may have the rights payments, metrics, anchors, directories and events. An
    administrator may have the right purge, which is required to dispose of recordings. The change
    takes effect at the user's next request.
    """
    settings = load_settings(config)
    given = sorted({str(item.value) for item in right or ()})
    with on_the_server(settings):
        asyncio.run(administration(settings).set_rights(name, frozenset(given)))
        notify_desk(settings)
    if json:
        print_json({"user": name, "rights": given})
    else:
        print(f"{name}: {', '.join(given) or 'no rights'}")
