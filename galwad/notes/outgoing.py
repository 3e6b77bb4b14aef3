"""Makes the note that another system gets from a version of a note in the outbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callerid.note_destination import OutgoingNote
from callerid.note_outbox import QueuedVersion
from callerid.person import record_id_in

_PLAIN = (
    *("call_id", "version", "started", "line", "advisor", "purpose", "language", "outcome"),
    *("caller_type", "on_behalf_of", "authority", "notes"),
)


def _nothing(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class NoteForm:
    """The form of the notes for one system."""

    directory: str
    """The name of the system's directory, which decides what the id of a person is there."""
    purpose_code: Callable[[str], str] = _nothing
    """Returns the system's code of a purpose in either language, or ""."""
    no_note_words: Callable[[str], str] = _nothing
    """Returns the English words of a reason for no note, or "" for those of Galwad."""
    recordings: str = ""
    """The address to which the call id is added for a link to the recording; "" for no link."""

    def note(self, version: QueuedVersion) -> OutgoingNote:
        """Return a version of a note as the system gets it."""
        fields = version.fields
        return OutgoingNote(
            **{name: fields[name] for name in _PLAIN},
            person_id=record_id_in(self.directory, version.entries),
            reference=fields.get("reference", ""),
            purpose_code=self.purpose_code(fields["purpose"]),
            recording_url=f"{self.recordings}{version.call_id}" if self.recordings else "",
            no_note_reason=fields.get("no_note_reason", ""),
            no_note_words=self.no_note_words(fields.get("no_note_reason", "")),
            unfinished=fields.get("unfinished", False),
        )
