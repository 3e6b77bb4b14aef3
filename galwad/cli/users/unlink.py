"""`galwad users unlink`: end the sign-in of a user with an account of the OpenID provider."""

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


@app.command(
    epilog="Example: galwad users unlink sian --subject 8f4e2c1a-0b6d-4c3e-9a57-1d2e3f405162"
)
def unlink(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    subject: Annotated[
        str, typer.Option(help="The person's identity there: the claim sub, or oid for Entra ID.")
    ],
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Unlink an account of the OpenID provider from a user, and end the user's sessions.

    If the person signs in with this account again, the desk adds another user. Use `galwad users
    disable` for a person who leaves.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).unlink_user(name, subject))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "unlinked": subject})
        return
    print(f"{name} cannot sign in with this account any more")
    print_if_no_desk(notified=notified)
