"""`galwad users link`: let a user sign in with an account of the OpenID provider."""

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


@app.command(
    epilog="Example: galwad users link sian --subject 8f4e2c1a-0b6d-4c3e-9a57-1d2e3f405162"
)
def link(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    *,
    subject: Annotated[
        str, typer.Option(help="The person's identity there: the claim sub, or oid for Entra ID.")
    ],
    issuer: Annotated[
        str, typer.Option(help="The provider; by default, the one in the settings.")
    ] = "",
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Let a user sign in with an account of the OpenID provider, and end the user's sessions.

    The user keeps the name, the extension and the phone. The role is the one that the provider
    gives at each sign-in.
    """
    from galwad.desk.auth.identities import ProviderIdentity  # noqa: PLC0415 - SQLAlchemy takes long to load

    settings = load_settings(config)
    section = settings.sign_in
    if not issuer and section is None:
        raise CliError("the settings name no provider", "add [sign_in], or give --issuer", status=2)
    identity = ProviderIdentity(issuer or (section.issuer if section else ""), subject)
    with on_the_server(settings):
        asyncio.run(administration(settings).link_user(name, identity))
        notified = notify_desk(settings)
    if json:
        print_json({"user": name, "issuer": identity.issuer, "subject": identity.subject})
        return
    print(f"{name} can sign in with this account of {identity.issuer}")
    print_if_no_desk(notified=notified)
