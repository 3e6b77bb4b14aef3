"""`galwad recordings`: find, show, fetch and verify recordings, through the server's API."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class RecordingsGroup(LazyGroup):
    """The commands of `galwad recordings`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List recordings, the newest first.",
        "show": "Show the recorded parts and gaps of a recording.",
        "fetch": "Fetch a recording, and decrypt it here.",
        "verify": "Verify signatures, digests and lengths of recordings.",
        "recover": "Recover spools that a reboot locked.",
        "hold": "Retain a recording: it cannot be disposed of.",
        "release": "End the retention of a recording.",
        "purge": "Dispose of a recording.",
        "reindex": "Index recordings again from their signed manifests.",
    }


app = new_group(RecordingsGroup)


@app.callback()
def recordings() -> None:
    """Find, show, fetch, verify, retain and dispose of recordings."""
