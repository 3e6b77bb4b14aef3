"""`galwad users list`: list the users, without passwords or other secrets."""

from __future__ import annotations

import asyncio

from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

app = new_command()


@app.command("list", epilog="Example: galwad users list")
def list_(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """List the users, without passwords or other secrets."""
    settings = load_settings(config)
    with on_the_server(settings):
        everyone = asyncio.run(administration(settings).users())
        protected = asyncio.run(administration(settings).second_factors())
    if json:
        print_json(
            [
                {
                    "user": user.name,
                    "role": user.role,
                    "extension": user.extension,
                    "language": user.language,
                    "rights": sorted(user.rights),
                    "team": user.team or None,
                    "second_factor": user.name in protected,
                    "disabled": user.disabled,
                }
                for user in everyone
            ]
        )
        return
    print_table(
        ("USER", "ROLE", "EXTENSION", "LANGUAGE", "TEAM", "RIGHTS", "SECOND FACTOR", ""),
        (
            (
                user.name,
                user.role,
                user.extension or "",
                user.language,
                user.team,
                " ".join(sorted(user.rights)),
                "yes" if user.name in protected else "",
                "disabled" if user.disabled else "",
            )
            for user in everyone
        ),
        empty="No users yet: add one with `galwad users add NAME`.",
    )
