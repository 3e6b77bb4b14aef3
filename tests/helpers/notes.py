"""A contact note as an advisor writes it, and as other systems get it."""

from __future__ import annotations

from typing import Any

from callerid.note import CallerType, Note, OutgoingNote

NOTE = OutgoingNote(
    call_id="20261125-093000-abcdefgh",
    version=1,
    started=1_795_599_000.0,
    line="Waste",
    advisor="elin",
    person_id="",
    reference="",
    purpose="Missed collection",
    purpose_code="",
    language="cy",
    outcome="New bin ordered",
    caller_type="self",
    on_behalf_of="",
    authority="",
    notes="Green bin.\nRings again on Monday.",
    recording_url="",
)


def written(
    purpose: str, language: str, outcome: str = "", caller_type: CallerType = "self", **more: Any
) -> Note:
    """Return a contact note as an advisor has written it."""
    return Note(purpose, language, outcome, caller_type, **more)
