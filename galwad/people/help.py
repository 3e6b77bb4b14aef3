"""The help of `galwad users`, which loads no command."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class UsersGroup(LazyGroup):
    """The commands of `galwad users`."""

    source = "galwad.people.commands:users"
    summaries: ClassVar = {
        "add": "Add a user.",
        "list": "List the users, without secrets.",
        "role": "Give a person another role.",
        "rights": "Set the rights of a user.",
        "team": "Set the team of a user.",
        "tokens": "Manage the tokens of machines and people.",
        "password": "Give a person a new password.",
        "sip-password": "Generate a new SIP password for a phone.",
        "move": "Give a user another extension.",
        "link": "Link an account of the OpenID provider to a user.",
        "unlink": "Unlink an account of the OpenID provider.",
        "remove-second-factor": "Remove the second factor of a person.",
        "disable": "Disable a user, and end the user's sessions.",
        "enable": "Let a disabled user sign in again.",
        "remove": "Remove a user.",
    }


class TokensGroup(LazyGroup):
    """The commands of `galwad users tokens`."""

    source = "galwad.people.commands:tokens"
    summaries: ClassVar = {
        "list": "List the tokens of a user.",
        "add": "Make a token for a user.",
        "revoke": "Revoke one token of a user.",
    }


app = new_group(UsersGroup)
tokens_app = new_group(TokensGroup)
app.add_typer(tokens_app, name="tokens")


@app.callback()
def users() -> None:
    """Manage the users of the page and the API, and their phones."""


@tokens_app.callback()
def tokens() -> None:
    """Manage the tokens of machines, and the personal tokens with which people pause."""
