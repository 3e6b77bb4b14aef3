"""`galwad users tokens`: the tokens of machines, and the personal tokens of people."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class TokensGroup(LazyGroup):
    """The commands of `galwad users tokens`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List the tokens of a user.",
        "add": "Make a token for a user.",
        "revoke": "Revoke one token of a user.",
    }


app = new_group(TokensGroup)


@app.callback()
def tokens() -> None:
    """Manage the tokens of machines, and the personal tokens with which people pause."""
