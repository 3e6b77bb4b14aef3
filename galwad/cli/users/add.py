"""`galwad users add`: add a user and, with `--extension`, an account for the user's phone."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from config.settings import Settings
from config.values import HostPort, host_of_family
from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.desk.auth.users import MIN_PASSWORD, Right, User
from galwad.desk.maintenance.administration import poke
from galwad.desk.models.accounts import Role
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
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Generate a password and print it once.")
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Add a user.

    The command asks at the terminal for the new user's password, unless it reads the password from
    standard input (--password-stdin) or generates it (--generate). Secrets that the command
    generates, such as a machine's token, are printed once. The database stores only hashes of them.
    """
    settings = load_settings(config)
    password = _password(role, password_stdin=password_stdin, generate=generate)
    sip_password = secrets.token_urlsafe(15) if extension else None
    rights = frozenset(str(item.value) for item in right or ())
    user = User(name, role, language, extension or None, rights)
    with on_the_server(settings):
        token = asyncio.run(administration(settings).add_user(user, password, sip_password))
        notified = asyncio.run(poke(settings.desk_socket))
    secret = {
        "user": name,
        "role": role,
        "password": password if generate and password else None,
        "token": token,
        "sip": _sip(settings, extension, sip_password) if sip_password else None,
    }
    if json:
        print_json({key: value for key, value in secret.items() if value is not None})
    else:
        _print_secrets(secret, notified=notified)


def _password(role: Role, *, password_stdin: bool, generate: bool) -> str | None:
    if role == "machine":
        return None
    if generate:
        return secrets.token_urlsafe(15)
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CliError(
            "the password is missing, and there is no terminal to ask for it",
            "use --password-stdin or --generate",
            status=2,
        )
    asked = f"Password (at least {MIN_PASSWORD} characters)"
    return str(typer.prompt(asked, hide_input=True, confirmation_prompt=True, err=True))


def _sip(settings: Settings, extension: str, password: str) -> dict[str, str]:
    listener = settings.sip.listen[0]
    host = host_of_family(settings.sip.advertise, listener.host) or listener.host
    return {
        "server": str(HostPort(host, listener.port)),
        "extension": extension,
        "password": password,
        "realm": settings.sip.realm,
    }


def _print_secrets(secret: Mapping[str, object], *, notified: bool) -> None:
    print(f"added {secret['user']} ({secret['role']})")
    if secret["password"]:
        print(f"  password      {secret['password']}")
    if secret["token"]:
        print(f"  token         {secret['token']}")
    sip = secret["sip"]
    if isinstance(sip, dict):
        print(f"  SIP server    {sip['server']}")
        print(f"  SIP user      {sip['extension']}")
        print(f"  SIP password  {sip['password']}")
    if any(secret[key] for key in ("password", "token", "sip")):
        print("These secrets are shown only once.")
    if not notified:
        print("No desk is running here: it reads the users when it starts.")
