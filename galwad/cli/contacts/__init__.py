"""`galwad contacts`: list, retry or discard contact notes that are not delivered."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class ContactsGroup(LazyGroup):
    """The commands of `galwad contacts`."""

    package = __name__
    names = ("list", "retry", "discard")


app = new_group(ContactsGroup)


@app.callback()
def contacts() -> None:
    """List contact notes that the CRM does not have yet; deliver them again, or discard them."""
