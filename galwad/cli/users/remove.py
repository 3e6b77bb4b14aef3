"""`galwad users remove`: remove a user, whose name and extension are free again."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk

app = new_command()


@app.command(epilog="Example: galwad users remove sian")
def remove(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Remove a user, end the user's sessions, and stop the user's phone from registering.

    The recordings and the audit keep the user's name. If another person may get this name later,
    use `galwad users disable` instead: it keeps the name from being used again.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).remove_user(name))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "removed": True})
        return
    print(f"{name} is removed")
    print_if_no_desk(notified=notified)
