"""`galwad keys`: make the officer's keys, and manage the set of people who can open recordings.

All commands run on the officer's machine. Only public data is sent to the server: the signed
recipient set, the officer's public signing key for the server's settings, and new headers of
recordings.
"""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class KeysGroup(LazyGroup):
    """The commands of `galwad keys`."""

    package = __name__
    summaries: ClassVar = {
        "init": "Create your two keys: an identity and a signing key.",
        "show": "Print the public halves of your keys.",
        "sign": "Sign the set of recipients who can open recordings.",
        "trust": "Sign the list of the nodes whose recordings you trust.",
        "rewrap": "Give every recording a header for the signed set.",
    }


app = new_group(KeysGroup)


@app.callback()
def keys() -> None:
    """Manage the officer's keys, and the set of people who can open recordings.

    Run the commands on the officer's machine.
    """
