"""`galwad users tokens add`: make a further token for a machine, or a personal token."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk, print_secrets
from galwad.cli.users.tokens.list import as_json, end_of
from galwad.desk.models.accounts import Right
from galwad.desk.models.tokens import DEFAULT_DAYS

app = new_command()


@app.command(epilog="Example: galwad users tokens add pay spring-2027 --right payments")
def add(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    token: Annotated[str, typer.Argument(help="The name of the new token.")],
    *,
    right: Annotated[
        list[Right] | None,
        typer.Option(help="For a machine: a right that the token can use; without it, all."),
    ] = None,
    days: Annotated[
        int, typer.Option(help="The days after which the token expires.")
    ] = DEFAULT_DAYS,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Make a token for a user. It is printed once, and the other tokens of the user stay valid.

    To replace a machine's token without a gap, add a second token, give it to the machine, and
    revoke the first. The token of a person can only pause and resume this person's own calls.
    """
    settings = load_settings(config)
    scopes = frozenset(str(item.value) for item in right) if right else None
    with on_the_server(settings):
        secret, made = asyncio.run(administration(settings).make_token(name, token, scopes, days))
        notified = notify_desk(settings)
    if json:
        print_json({**as_json(made), "token": secret})
        return
    print(f"added the token {made.name} of {name}, which expires on {end_of(made)}")
    print_secrets(token=secret)
    print_if_no_desk(notified=notified)
