"""`galwad users remove-second-factor`: help a person who has lost phone and recovery codes."""

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


@app.command(epilog="Example: galwad users remove-second-factor sian")
def remove_second_factor(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Remove the second factor of a person, and end the sessions opened with the password.

    First make sure that it is this person who asks. If the role needs a second factor, the person
    must set up a new one at the next sign-in. Personal tokens stay valid.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).remove_second_factor(name))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "second_factor": False})
        return
    print(f"{name} has no second factor any more, and must sign in again")
    print_if_no_desk(notified=notified)
