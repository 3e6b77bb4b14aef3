"""`galwad users add`: add a user and, with `--extension`, an account for the user's phone."""

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
    sip_account,
)
from galwad.desk.auth.passwords import new_secret
from galwad.desk.models.accounts import Right, Role
from galwad.desk.models.base import Language

app = new_command()


@app.command(epilog="Example: galwad users add sian --role advisor --extension 201")
def add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    *,
    role: Annotated[Role, typer.Option(help="The role: what the user may do.")] = "advisor",
    extension: Annotated[
        str, typer.Option(help="The extension of the user's phone; a SIP password is generated.")
    ] = "",
    language: Annotated[Language, typer.Option(help="The page's language.")] = "en",
    right: Annotated[
        list[Right] | None, typer.Option(help="For a machine: what its token may do.")
    ] = None,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Add a user.

    The command asks at the terminal for the new user's password, unless it reads the password from
    standard input (--password-stdin) or generates it (--generate). Secrets that the command
    generates, such as a machine's token, are printed once. The database stores only hashes of them.
    An extension of a disabled user is free: the new user takes it over.
    """
    from galwad.desk.auth.users import User  # noqa: PLC0415 - SQLAlchemy takes a second to load

    settings = load_settings(config)
    password = None
    if role != "machine":
        password = new_password(password_stdin=password_stdin, generate=generate)
    sip_password = new_secret() if extension else None
    rights = frozenset(str(item.value) for item in right or ())
    user = User(name, role, language, extension or None, rights)
    with on_the_server(settings):
        token = asyncio.run(administration(settings).add_user(user, password, sip_password))
        notified = notify_desk(settings)
    shown = password if generate else None
    sip = sip_account(settings, extension, sip_password) if sip_password else None
    if json:
        secret = {"user": name, "role": role, "password": shown, "token": token, "sip": sip}
        print_json({key: value for key, value in secret.items() if value is not None})
        return
    print(f"added {name} ({role})")
    print_secrets(password=shown, token=token, sip=sip)
    print_if_no_desk(notified=notified)
