"""`galwad login` and `galwad password`: sign in to a server, and replace your own password."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from galwad.cli.support.client import ask, base_url
from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.support.output_file import atomic_file

app = new_command()
_SHORTEST_S, _LONGEST_S = 0.5, 30.0
"""The shortest and the longest time in seconds between two requests for the token."""


@app.command(epilog="Example: galwad login --server https://galwad.example --user officer")
def login(
    *,
    user: Annotated[str, typer.Option(help="Your user name; by default, it is asked for.")] = "",
    server: Server = "",
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-ca",
            exists=True,
            dir_okay=False,
            resolve_path=True,
            help="A PEM file of the authority to trust. Later commands trust it too.",
        ),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    code: Annotated[
        str,
        typer.Option(help="The code of your app, or a recovery code; asked for if it is needed."),
    ] = "",
    browser: Annotated[
        bool,
        typer.Option(
            "--browser",
            help="Sign in on the page, for example with a work account, and approve a code.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Sign in to a server, for the commands that send requests to it.

    With --browser, the command shows an address and a code. Open the address on any machine, sign
    in there as always, and enter the code. You need neither a user name nor a password here.

    The token is stored in ~/.config/galwad/client.toml, which only you can read. The password is
    not stored. If you have a second factor, a code of your authenticator app is needed too. The
    token has the same time limits as a session of the page. It becomes invalid if it is not used
    for some time, and in any case at a fixed time after the login. If the token is invalid, log in
    again.
    """
    from galwad.cli.support.client_settings import client_file, client_settings  # noqa: PLC0415

    known = client_settings()
    authority = tls_ca or known.certificate
    address = base_url(server or known.server)
    if browser and (user or password_stdin or code):
        raise CliError(
            "--browser cannot be combined with --user, --password-stdin or --code",
            "leave them out: you sign in on the page",
            status=2,
        )
    if browser:
        me = _approved(address, authority)
    else:
        name = user or _asked("User")
        password = (
            sys.stdin.readline().rstrip("\n") if password_stdin else _asked("Password", hide=True)
        )
        me = _with_password(address, name, password, code, authority)
    token = me.get("token") if isinstance(me, dict) else None
    if not token:
        raise CliError("the server sent no token", "check the server's address")
    file = client_file()
    _keep(file, address, token, authority)
    if json:
        print_json({"user": me["user"], "role": me["role"], "server": address, "file": str(file)})
    else:
        print(f"signed in at {address} as {me['user']} ({me['role']})")


def _with_password(server: str, name: str, password: str, code: str, authority: Path | None) -> Any:
    login = {"user": name, "password": password, "client": "cli"}
    try:
        return _sign_in(server, login, code, authority)
    except CliError as error:
        if error.reason != "code_needed":
            raise
        return _sign_in(server, login, _asked("Code"), authority)


def _approved(server: str, authority: Path | None) -> Any:
    """Show the code, and wait until the person has approved it. Return the server's answer."""
    waiting = ask(server, "POST", "/command-lines", anonymous=True, authority=authority)
    try:
        secret, interval = str(waiting["secret"]), float(waiting["interval_s"])
        shown = one_line(f"open {waiting['page']} and enter the code {waiting['code']}")
    except (KeyError, TypeError, ValueError):
        raise CliError(
            "the answer is not from a Galwad server", "check the server's address"
        ) from None
    print(shown, file=sys.stderr, flush=True)
    while True:
        time.sleep(min(max(interval, _SHORTEST_S), _LONGEST_S))
        try:
            body = {"secret": secret}
            return ask(
                server, "POST", "/command-lines/token", body, anonymous=True, authority=authority
            )
        except CliError as error:
            if error.reason != "waiting":
                raise


def _sign_in(server: str, login: dict[str, str], code: str, authority: Path | None) -> Any:
    body = {**login, "code": code} if code else login
    return ask(server, "POST", "/login", body, anonymous=True, authority=authority)


def _asked(what: str, *, hide: bool = False) -> str:
    if not sys.stdin.isatty():
        option = {"User": "--user", "Password": "--password-stdin", "Code": "--code"}[what]
        raise CliError(
            f"the {what.lower()} is missing, and there is no terminal to ask for it",
            f"use {option}",
            status=2,
        )
    return str(typer.prompt(what, hide_input=hide, err=True))


def _keep(file: Path, server: str, token: str, certificate: Path | None) -> None:
    lines = [f"server = {jsonlib.dumps(server)}", f"token = {jsonlib.dumps(token)}"]
    if certificate is not None:
        lines.append(f"certificate = {jsonlib.dumps(str(certificate))}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "it failed").lower()
        raise CliError(
            f"cannot write {file}: {reason}",
            "set $XDG_CONFIG_HOME to a folder in which you can write",
        ) from None
    with atomic_file(file, replace=True) as out:
        out.write(("\n".join(lines) + "\n").encode())


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

    The new password must have at least 12 characters. All your other sessions end, on the page too.
    Your personal tokens end.
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
