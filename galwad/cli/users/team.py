"""`galwad users team`: let a user belong to a team."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.users.secrets import print_if_no_desk

app = new_command()


@app.command(epilog="Example: galwad users team sian housing")
def team(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    code: Annotated[
        str, typer.Argument(help="The team's code; `galwad texts list teams` shows the teams.")
    ] = "",
    *,
    none: Annotated[bool, typer.Option("--none", help="Let the user belong to no team.")] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Let a person belong to a team. Supervisors see the advisors by team.

    Administrators make the teams on their page, or with `galwad texts set teams FILE`.
    """
    if bool(code) == none:
        raise CliError(
            "the team is missing, or contradicts --none",
            "give the code of a team, or only --none",
            status=2,
        )
    settings = load_settings(config)
    with on_the_server(settings):
        asyncio.run(administration(settings).set_team(name, code))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "team": code or None})
        return
    print(f"{name} belongs to {f'the team {code}' if code else 'no team'}")
    print_if_no_desk(notified=notified)
