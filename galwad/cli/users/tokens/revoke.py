"""`galwad users tokens revoke`: end one token of a user."""

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


@app.command(epilog="Example: galwad users tokens revoke pay autumn-2026")
def revoke(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    token: Annotated[str, typer.Argument(help="The token's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Revoke one token of a user. It is refused from the next request on, and its streams end."""
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).revoke_token(name, token))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "name": token, "revoked": True})
        return
    print(f"the token {token} of {name} is revoked")
    print_if_no_desk(notified=notified)
