"""`galwad users password`: give a person a new password."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import (
    Generate,
    PasswordStdin,
    new_password,
    print_if_no_desk,
    print_secrets,
)

app = new_command()


@app.command(epilog="Example: galwad users password sian --generate")
def password(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Give a person a new password, and end all sessions of this person.

    The command asks at the terminal for the password, unless it reads the password from standard
    input (--password-stdin) or generates it (--generate). A generated password is printed once.
    """
    settings = load_settings(config)
    new = new_password(password_stdin=password_stdin, generate=generate)
    with on_the_server(settings):
        asyncio.run(administration(settings).set_password(name, new))
        notified = notify_desk(settings)
    shown = new if generate else None
    if json:
        print_json({"user": name, **({"password": shown} if shown else {})})
        return
    print(f"{name} has a new password, and must sign in again")
    print_secrets(password=shown)
    print_if_no_desk(notified=notified)
