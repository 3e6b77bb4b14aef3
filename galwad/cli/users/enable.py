"""`galwad users enable`: let a disabled user sign in again."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk, print_secrets

app = new_command()


@app.command(epilog="Example: galwad users enable sian")
def enable(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Let a disabled user sign in again, and the user's phone register, with the old passwords.

    A machine gets a new token, which is printed once. If another user got the extension meanwhile,
    the user has none: `galwad users move` gives another.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        user, token = asyncio.run(administration(settings).enable_user(name))
        notified = notify_desk(settings)
    if json:
        facts = {"user": name, "disabled": False, "extension": user.extension, "token": token}
        print_json({key: value for key, value in facts.items() if value is not None})
        return
    print(f"{name} is enabled, with {_phone(user.extension)}")
    print_secrets(token=token)
    print_if_no_desk(notified=notified)


def _phone(extension: str | None) -> str:
    return f"the extension {extension}" if extension else "no extension"
