"""`galwad users`: the users who may sign in, and their phones. Run these commands on the server."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class UsersGroup(LazyGroup):
    """The commands of `galwad users`."""

    package = __name__
    names = (
        "add",
        "list",
        "role",
        "rights",
        "team",
        "tokens",
        "password",
        "sip-password",
        "move",
        "link",
        "unlink",
        "remove-second-factor",
        "disable",
        "enable",
        "remove",
    )


app = new_group(UsersGroup)


@app.callback()
def users() -> None:
    """Manage the users of the page and the API, and their phones."""
