"""`galwad users move`: give a user another extension."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk, print_secrets, sip_account
from galwad.desk.auth.passwords import new_secret

app = new_command()


@app.command(epilog="Example: galwad users move sian 202")
def move(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    extension: Annotated[str, typer.Argument(help="The new extension.")] = "",
    *,
    none: Annotated[
        bool, typer.Option("--none", help="Take the user's extension away, and give no other.")
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Give a user another extension, with a new SIP password, which is printed once.

    The phone at the old extension cannot register any more. An extension of a disabled user is
    free: this user takes it over.
    """
    if bool(extension) == none:
        raise CliError(
            "the new extension is missing, or contradicts --none",
            "give an extension, or only --none",
            status=2,
        )
    settings = load_settings(config)
    new = new_secret()
    with on_the_server(settings):
        asyncio.run(administration(settings).move_user(name, extension or None, new))
        notified = notify_desk(settings)
    sip = sip_account(settings, extension, new) if extension else None
    if json:
        print_json({"user": name, "extension": extension or None, "sip": sip})
        return
    print(f"{name} has {f'the extension {extension}' if extension else 'no extension'}")
    print_secrets(sip=sip)
    print_if_no_desk(notified=notified)
