"""`galwad contacts`: list, retry or discard contact notes that are not delivered."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class ContactsGroup(LazyGroup):
    """The commands of `galwad contacts`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List the notes that are not delivered, without texts.",
        "retry": "Deliver notes as soon as possible.",
        "discard": "Never deliver notes; Galwad itself keeps them.",
    }


app = new_group(ContactsGroup)


@app.callback()
def contacts() -> None:
    """List contact notes that the CRM does not have yet; deliver them again, or discard them."""
