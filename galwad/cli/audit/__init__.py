"""`galwad audit`: read the chain, verify it with anchors that others keep, note its head."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class AuditGroup(LazyGroup):
    """The commands of `galwad audit`."""

    package = __name__
    names = ("list", "export", "verify", "anchor")


app = new_group(AuditGroup)


@app.callback()
def audit() -> None:
    """The audit: who did what, as a chain that shows when it was touched."""
