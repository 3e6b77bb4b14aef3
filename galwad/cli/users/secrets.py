"""The secrets of users: passwords that are read or generated, and how a new secret is printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from galwad.cli.support.console import CliError
from galwad.desk.auth.passwords import LEAST_LENGTH, new_secret

if TYPE_CHECKING:
    from galwad.settings import Settings

PasswordStdin: TypeAlias = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Generate: TypeAlias = Annotated[
    bool, typer.Option("--generate", help="Generate a password and print it once.")
]


def new_password(*, password_stdin: bool, generate: bool) -> str:
    """Return a password: generated, from standard input, or from the terminal."""
    if generate:
        return new_secret()
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CliError(
            "the password is missing, and there is no terminal to ask for it",
            "use --password-stdin or --generate",
            status=2,
        )
    asked = f"Password (at least {LEAST_LENGTH} characters)"
    return str(typer.prompt(asked, hide_input=True, confirmation_prompt=True, err=True))


def sip_account(settings: Settings, extension: str, password: str) -> dict[str, str]:
    """Return the values that a phone needs to register."""
    return {
        "server": settings.phone_server,
        "extension": extension,
        "password": password,
        "realm": settings.sip.realm,
    }


def print_secrets(
    *, password: str | None = None, token: str | None = None, sip: dict[str, str] | None = None
) -> None:
    """Print the secrets that are given, and that they are shown only once."""
    if password:
        print(f"  password      {password}")
    if token:
        print(f"  token         {token}")
    if sip is not None:
        print(f"  SIP server    {sip['server']}")
        print(f"  SIP user      {sip['extension']}")
        print(f"  SIP password  {sip['password']}")
    if password or token or sip:
        print("These secrets are shown only once.")


def print_if_no_desk(*, notified: bool) -> None:
    """Print when the change takes effect, if no desk was notified of it."""
    if not notified:
        print("No desk is running here: it reads the users when it starts.")
