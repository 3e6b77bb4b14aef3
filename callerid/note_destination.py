"""The place to which contact notes are delivered, such as a CRM, as the outbox sees it.

Each kind of destination is a module in `callerid.directories`. The outbox delivers every version
of a note, one after another, and tries again after a failure. So a destination must be able to
write the same version twice without making a second record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID, uuid5

_NAMESPACE: Final = UUID("873ee418-0188-4283-ac3e-d1d82c634444")
"""The namespace of the ids of notes. It must never change, or notes are written twice."""


@dataclass(frozen=True, slots=True)
class OutgoingNote:
    """One version of a contact note, as a destination gets it."""

    call_id: str
    version: int
    """1 for the first version; each change of the note is a new version."""
    started: float
    """The start of the call, in seconds since 1970."""
    line: str
    """The council's line that was called, such as "Council Tax"."""
    advisor: str
    """The user name of the advisor."""
    person_id: str
    """The id, in the destination, of the person whom the advisor has confirmed; "" if none."""
    reference: str
    """The person's reference, such as a customer number; "" if there is none."""
    purpose: str
    purpose_code: str
    """The destination's code of the purpose; "" if the settings have none."""
    language: str
    """The language of the call: "cy" or "en"."""
    outcome: str
    caller_type: str
    """The person for whom the caller spoke: "self", or in which role for another person."""
    on_behalf_of: str
    authority: str
    """The authority on which the caller spoke for another person; "" for "self"."""
    notes: str
    recording_url: str
    """The address of the page with the call's recording; "" if it is not sent."""
    no_note_reason: str = ""
    """Why the call needs no note, such as "wrong_number"; "" for a note."""
    no_note_words: str = ""
    """The words for `no_note_reason` in the text of the note; "" for the usual ones."""
    unfinished: bool = False
    """True if the advisor did not save the note, so that it is a draft and may lack any field."""

    @property
    def note_id(self) -> UUID:
        """The id of the note, which is the same for all versions of one call's note."""
        return uuid5(_NAMESPACE, self.call_id)


@dataclass(frozen=True, slots=True)
class EarlierDelivery:
    """The result of earlier attempts to deliver the note of a call."""

    version: int = 0
    """The newest version that the destination has accepted; 0 if there is none."""
    record_id: str = ""
    """The id that `NoteDestination.deliver` returned for that version."""
    uncertain: bool = False
    """True if an attempt to deliver this version was begun, and its result is not known."""


class NoteDestination(Protocol):
    """A system that accepts contact notes."""

    @property
    def name(self) -> str:
        """The short name of the destination, which is the name of its directory."""

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its record.

        If `earlier.version` is 0, the record is created; otherwise it is changed. A record that
        was deleted since is never created again. If the record already has this version, nothing
        changes.

        Raises:
            NoteRefusedError: The destination does not accept this version, and a further attempt
                would have the same result.
            SourceBusyError: The destination asks for a rest.
            SourceError: The destination cannot be reached now. Any other exception means the same.
        """

    async def close(self) -> None:
        """Close the connections to the destination."""
