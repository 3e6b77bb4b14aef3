"""`galwad users`: who may sign in, and at which phone. Runs on the server."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from config.settings import Settings
from config.values import HostPort, of_family
from galwad.cli.console import CliError, print_json, print_table
from galwad.cli.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.server import administration, on_the_server
from galwad.desk.admin import poke
from galwad.desk.users import MIN_PASSWORD, User

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


class RoleName(StrEnum):
    """The roles that a user may have."""

    ADVISOR = "advisor"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"
    MACHINE = "machine"


class LanguageName(StrEnum):
    """The page's languages."""

    ENGLISH = "en"
    WELSH = "cy"


class RightName(StrEnum):
    """The rights of a machine's token, and the one of an administrator (`purge`)."""

    PAYMENTS = "payments"
    METRICS = "metrics"
    PURGE = "purge"
    ANCHORS = "anchors"


@app.callback()
def users() -> None:
    """Users of the page and the API, and their phones."""


@app.command(epilog="Example: galwad users add sian --role advisor --extension 201")
def add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    *,
    role: Annotated[RoleName, typer.Option(help="What they may do.")] = RoleName.ADVISOR,
    extension: Annotated[
        str, typer.Option(help="The phone they sit at; a SIP password is made for it.")
    ] = "",
    language: Annotated[
        LanguageName, typer.Option(help="The page's language.")
    ] = LanguageName.ENGLISH,
    right: Annotated[
        list[RightName] | None, typer.Option(help="For a machine: what its token may do.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make up a password and print it once.")
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Add a user.

    The password is asked for, read (--password-stdin) or generated (--generate). Secrets that are
    generated here, such as a machine's token, are printed once and not stored: the database holds
    only their hashes.
    """
    settings = load_settings(config)
    password = _password(role, password_stdin=password_stdin, generate=generate)
    sip_password = secrets.token_urlsafe(15) if extension else None
    rights = frozenset(str(item.value) for item in right or ())
    user = User(name, role.value, language.value, extension or None, rights)
    with on_the_server(settings):
        token = asyncio.run(administration(settings).add_user(user, password, sip_password))
        told = asyncio.run(poke(settings.desk_socket))
    secret = {
        "user": name,
        "role": role.value,
        "password": password if generate and password else None,
        "token": token,
        "sip": _sip(settings, extension, sip_password) if sip_password else None,
    }
    if json:
        print_json({key: value for key, value in secret.items() if value is not None})
    else:
        _print_secrets(secret, told=told)


def _password(role: RoleName, *, password_stdin: bool, generate: bool) -> str | None:
    if role is RoleName.MACHINE:
        return None
    if generate:
        return secrets.token_urlsafe(15)
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CliError(
            "a password is missing, and nobody to ask",
            "use --password-stdin or --generate",
            status=2,
        )
    asked = f"Password (at least {MIN_PASSWORD} characters)"
    return str(typer.prompt(asked, hide_input=True, confirmation_prompt=True, err=True))


def _sip(settings: Settings, extension: str, password: str) -> dict[str, str]:
    listener = settings.sip.listen[0]
    host = of_family(settings.sip.advertise, listener.host) or listener.host
    return {
        "server": str(HostPort(host, listener.port)),
        "extension": extension,
        "password": password,
        "realm": settings.sip.realm,
    }


def _print_secrets(secret: Mapping[str, object], *, told: bool) -> None:
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
        print("These are shown this once.")
    if not told:
        print("No desk is running here: it reads the users when it starts.")


@app.command("list", epilog="Example: galwad users list")
def list_(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """List the users, without secrets."""
    settings = load_settings(config)
    with on_the_server(settings):
        everyone = asyncio.run(administration(settings).users())
    if json:
        print_json(
            [
                {
                    "user": user.name,
                    "role": user.role,
                    "extension": user.extension,
                    "language": user.language,
                    "rights": sorted(user.rights),
                    "disabled": user.disabled,
                }
                for user in everyone
            ]
        )
        return
    print_table(
        ("USER", "ROLE", "EXTENSION", "LANGUAGE", "RIGHTS", ""),
        (
            (
                user.name,
                user.role,
                user.extension or "",
                user.language,
                " ".join(sorted(user.rights)),
                "disabled" if user.disabled else "",
            )
            for user in everyone
        ),
        empty="No users yet: add one with `galwad users add NAME`.",
    )


@app.command(epilog="Example: galwad users rights gwen --right purge")
def rights(
    name: Annotated[str, typer.Argument(help="Whose rights.")],
    *,
    right: Annotated[
        list[RightName] | None, typer.Option(help="A right; none given, none is left.")
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Set the rights of a user: those that are named, and no others.

    Machines may have payments, metrics and anchors. An administrator may have purge, which is
    required to dispose of recordings. The change counts from the user's next request on.
    """
    settings = load_settings(config)
    given = sorted({str(item.value) for item in right or ()})
    with on_the_server(settings):
        asyncio.run(administration(settings).set_rights(name, frozenset(given)))
    if json:
        print_json({"user": name, "rights": given})
    else:
        print(f"{name}: {', '.join(given) or 'no rights'}")


@app.command(epilog="Example: galwad users disable sian")
def disable(
    name: Annotated[str, typer.Argument(help="Whom to bar.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Bar a user and end their sessions; their phone may no longer register."""
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).disable_user(name))
        asyncio.run(poke(settings.desk_socket))
    if json:
        print_json({"user": name, "disabled": True})
    else:
        print(f"{name} is disabled")
