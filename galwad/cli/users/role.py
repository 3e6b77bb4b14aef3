"""`galwad users role`: give a person another role."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk
from galwad.desk.models.accounts import Role

app = new_command()


@app.command("role", epilog="Example: galwad users role sian supervisor")
def role_(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    role: Annotated[Role, typer.Argument(help="The new role: what the user may do.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Give a person another role, and end all sessions of this person.

    The person loses all rights: `galwad users rights` sets them again. A person cannot become a
    machine. The OpenID provider decides the role of a person who signs in there, at each sign-in.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).set_role(name, role))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "role": role})
        return
    print(f"{name} has the role {role}, and must sign in again")
    print_if_no_desk(notified=notified)
