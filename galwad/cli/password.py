"""`galwad password`: replace your own password on the server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog="Example: galwad password")
def password(
    *,
    server: Server = "",
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the present password and the new one from standard input, each on a line.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Replace your own password; you need `galwad login` first.

    The new password must have at least 12 characters. All other sessions of yours end, on the page
    too.
    """
    if password_stdin:
        present, new = (sys.stdin.readline().rstrip("\n") for _ in range(2))
    elif sys.stdin.isatty():
        present = str(typer.prompt("Present password", hide_input=True, err=True))
        new = str(typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise CliError(
            "the passwords are missing, and there is no terminal to ask for them",
            "use --password-stdin",
            status=2,
        )
    ask(server, "PUT", "/me/password", {"current": present, "new": new})
    if json:
        print_json({"changed": True})
    else:
        print("your password is changed, and your other sessions have ended")
