"""The summary of a recording: the facts that the index stores and that people search.

It is made from the manifest and the personal facts of the spool. The finaliser's message to the
desk, the index's row and the API's answer all contain these fields.
"""

from __future__ import annotations

import msgspec

from recording.archive.manifest import Gap


class RecordingSummary(msgspec.Struct, frozen=True):
    """One recording; `started` in Unix seconds, `folder` relative to the archive."""

    call_id: str
    folder: str
    started: float
    talk_us: int
    interrupted: bool
    number: str | None
    line: str
    advisor: str
    extension: str
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    unexplained_us: int = 0
    """Talk time that neither segments nor gaps cover, or that both cover."""
    raw_size: int = 0
    """Size in bytes of the object with the packets that could not be decoded; 0: there is none."""
    gaps: tuple[Gap, ...] = ()

    @property
    def has_personal_facts(self) -> bool:
        """True if number, line, advisor or extension is known.

        A summary made only from a manifest has none of them.
        """
        return bool(self.number or self.line or self.advisor or self.extension)
