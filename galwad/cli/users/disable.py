"""`galwad users disable`: stop a user from signing in."""

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


@app.command(epilog="Example: galwad users disable sian")
def disable(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Disable a user, end the user's sessions, and stop the user's phone from registering.

    The name stays taken, and the extension is free for another user. `galwad users enable` lets the
    user sign in again.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).disable_user(name))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "disabled": True})
        return
    print(f"{name} is disabled")
    print_if_no_desk(notified=notified)
