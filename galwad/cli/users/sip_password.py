"""`galwad users sip-password`: give a user's phone a new SIP password."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk, print_secrets, sip_account
from galwad.desk.auth.passwords import new_secret

app = new_command()


@app.command(epilog="Example: galwad users sip-password sian")
def sip_password(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Generate a new SIP password for a user's phone, and print it once.

    The phone's registration ends, and the phone registers again with the new password. A call in
    progress continues.
    """
    settings = load_settings(config)
    new = new_secret()
    with on_the_server(settings):
        extension = asyncio.run(administration(settings).set_sip_password(name, new))
        notified = notify_desk(settings)
    sip = sip_account(settings, extension, new)
    if json:
        print_json({"user": name, "sip": sip})
        return
    print(f"{name} has a new SIP password")
    print_secrets(sip=sip)
    print_if_no_desk(notified=notified)
