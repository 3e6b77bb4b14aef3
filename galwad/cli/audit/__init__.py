"""`galwad audit`: list, export and verify the audit chain, and save anchors of the chain."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class AuditGroup(LazyGroup):
    """The commands of `galwad audit`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List entries, sorted from old to new.",
        "export": "Export the whole chain, one entry a line.",
        "verify": "Verify each hash, signature and anchor.",
        "erase": "Erase names and numbers from an entry, with a signed reason.",
        "anchor": "Append the newest entry's hash to a file that you keep.",
    }


app = new_group(AuditGroup)


@app.callback()
def audit() -> None:
    """List, export and verify the audit: a chain of entries that show who did what.

    Each entry has the digest of the entry before it, so a later change to an entry is detected.
    """
