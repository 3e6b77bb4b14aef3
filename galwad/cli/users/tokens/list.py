"""`galwad users tokens list`: the tokens of a user, without their secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

if TYPE_CHECKING:
    from galwad.desk.auth.tokens import Token

app = new_command()


@app.command("list", epilog="Example: galwad users tokens list pay")
def list_(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """List the tokens of a user: what each can do, when it expires, and when it was used last."""
    settings = load_settings(config)
    with on_the_server(settings):
        found = asyncio.run(administration(settings).tokens(name))
    if json:
        print_json([as_json(token) for token in found])
        return
    print_table(
        ("TOKEN", "RIGHTS", "EXPIRES", "LAST USE", "FROM", "CREATED BY"),
        (
            (
                token.name,
                "all" if token.scopes is None else " ".join(sorted(token.scopes)),
                end_of(token),
                date_and_time(token.used) if token.used is not None else "never",
                token.address,
                token.created_by,
            )
            for token in found
        ),
        empty=f"{name} has no tokens.",
    )


def as_json(token: Token) -> dict[str, object]:
    """Return the facts about a token. Times are Unix seconds."""
    return {
        "user": token.user,
        "name": token.name,
        "scopes": None if token.scopes is None else sorted(token.scopes),
        "created": token.created,
        "created_by": token.created_by,
        "expires": token.expires,
        "last_used": token.used,
        "address": token.address,
    }


def end_of(token: Token) -> str:
    """Return when a token expires, or "never"."""
    return "never" if token.expires is None else date_and_time(token.expires)
