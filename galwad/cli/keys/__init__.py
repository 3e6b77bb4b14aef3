"""`galwad keys`: make the officer's keys, and manage the set of people who can open recordings.

All commands run on the officer's machine. Only public data is sent to the server: the signed
recipient set, the officer's public signing key for the server's settings, and new headers of
recordings.
"""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class KeysGroup(LazyGroup):
    """The commands of `galwad keys`."""

    package = __name__
    names = ("init", "show", "sign", "rewrap")


app = new_group(KeysGroup)


@app.callback()
def keys() -> None:
    """Manage the officer's keys, and the set of people who can open recordings.

    Run the commands on the officer's machine.
    """
