"""A contact note, its form for another system, and the interface of that system.

Each kind of destination is a module in `callerid.directories`. The versions of a note are
delivered one after another. After a failure, a version is delivered again. So a destination must be
able to write the same version twice without making a second record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, Self, TypeAlias
from uuid import UUID, uuid5

from callerid.card_number import ADVICE, has_card_number
from callerid.errors import ContactError

CallerType: TypeAlias = Literal[
    "self", "representative", "family", "councillor", "officer", "organisation"
]
NoNoteReason: TypeAlias = Literal["wrong_number", "silent", "cut_off", "repeated", "test"]
"""The reasons that an advisor can give for a call without a note."""
NOT_WRITTEN: Final = "not_written"
"""The `no_note_reason` of a call whose note was not written in time."""
_TEXTS: Final = ("purpose", "outcome", "on_behalf_of", "authority", "notes")
_NAMESPACE: Final = UUID("873ee418-0188-4283-ac3e-d1d82c634444")
"""The namespace of the ids of notes. It must never change, or notes are written twice."""
_CALLER_TYPES: Final[Mapping[str, str]] = {
    "self": "the person",
    "representative": "a representative",
    "family": "a family member",
    "councillor": "a councillor",
    "officer": "an officer of the council",
    "organisation": "an organisation",
}
_LANGUAGES: Final = {"cy": "Welsh", "en": "English"}
_NO_NOTE: Final[Mapping[str, str]] = {
    "wrong_number": "wrong number",
    "silent": "the caller was silent",
    "cut_off": "the call was cut off",
    "repeated": "the same call again",
    "test": "a test call",
    NOT_WRITTEN: "no note was written",
}


@dataclass(frozen=True)
class NotedCall:
    """The answered call that a note is about. `started` is in seconds since 1970."""

    call_id: str
    started: float
    line: str
    """The council's line that was called, such as "Council Tax"."""
    advisor: str
    """The user name of the advisor."""


@dataclass(frozen=True, slots=True)
class WrittenNote:
    """The part of a contact note that the advisor writes.

    Unless `caller_type` is "self", `on_behalf_of` is the person for whom the caller speaks, and
    `authority` says why the caller may do so.
    """

    purpose: str
    language: str
    outcome: str
    caller_type: CallerType
    on_behalf_of: str = ""
    authority: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Note(WrittenNote):
    """A contact note.

    If there is no note about a call, `no_note_reason` says why, such as "wrong_number", and the
    texts are empty. If `unfinished` is true, the note consists of drafts that no user saved, and
    may lack any field.
    """

    no_note_reason: str = ""
    unfinished: bool = False

    @classmethod
    def not_needed(cls, reason: str) -> Self:
        """Return a note that only says why the call needs no note."""
        return cls("", "", "", "self", no_note_reason=reason)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the note with the values in `fields`; ignore names that are not in NOTE_FIELDS."""
        return cls(**{name: fields[name] for name in NOTE_FIELDS if name in fields})

    @property
    def texts(self) -> tuple[str, ...]:
        """The free texts that are not empty."""
        return tuple(text for name in _TEXTS if (text := getattr(self, name)))

    def with_more(self, lines: tuple[str, ...]) -> Self:
        """Return this note with further lines at the end of `notes`."""
        return replace(self, notes="\n".join(text for text in (self.notes, *lines) if text))

    def check(self) -> None:
        """Raise ContactError if a field is missing or a text has a card number.

        A note needs a purpose, or a reason why no note is needed. If the caller speaks for another
        person, the note also needs `on_behalf_of` and `authority`.
        """
        self.check_cards()
        if not self.purpose and not self.no_note_reason:
            raise ContactError("the contact note needs a purpose")
        if self.caller_type == "self":
            return
        if not self.on_behalf_of:
            raise ContactError(
                "the contact note needs the name of the person for whom the caller speaks"
            )
        if not self.authority:
            raise ContactError("the contact note needs the authority on which the caller speaks")

    def check_cards(self) -> None:
        """Raise ContactError, which names the field, if a text has a card number."""
        for name in _TEXTS:
            if has_card_number(getattr(self, name)):
                raise ContactError(f"{name} seems to contain a payment card number: {ADVICE}")


NOTE_FIELDS: Final = tuple(Note.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class OutgoingNote(Note, NotedCall):
    """One version of a contact note, as a destination gets it."""

    version: int
    """The number of the version, from 1. Each change of the note is a new version."""
    person_id: str
    """The id of the confirmed person in the destination; "" if there is none."""
    reference: str
    """The person's reference, such as a customer number; "" if there is none."""
    purpose_code: str
    """The destination's code of the purpose; "" if the settings have none."""
    recording_url: str
    """The address of the call's recording in Galwad's API; "" if it is not sent."""
    no_note_words: str = ""
    """The words for `no_note_reason` in the text of the note; "" for the usual ones."""

    @property
    def note_id(self) -> UUID:
        """The id of the note, which is the same for all versions of one call's note."""
        return uuid5(_NAMESPACE, self.call_id)

    @property
    def started_at(self) -> str:
        """The start of the call in UTC, such as `2026-11-25T09:30:00Z` (RFC 3339)."""
        return datetime.fromtimestamp(self.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def subject(self) -> str:
        """The title of the note in a list. It contains the call id."""
        return f"{self.line}: {self._about} [{self.call_id}]"

    @property
    def text(self) -> str:
        """The note as a text of several lines for people, without the facts that have no value."""
        caller = _CALLER_TYPES.get(self.caller_type, self.caller_type)
        no_note = "Not written" if self.no_note_reason == NOT_WRITTEN else "No note needed"
        facts = {
            "Not finished": "the advisor did not save this note" if self.unfinished else "",
            "Purpose": self.purpose,
            "Outcome": self.outcome,
            "Caller": "" if self.no_note_reason else caller,
            "On behalf of": self.on_behalf_of,
            "Authority": self.authority,
            no_note: self._why_none,
            "Language": _LANGUAGES.get(self.language, self.language),
            "Line": self.line,
            "Advisor": self.advisor,
            "Call": f"{self.call_id}, {self.started_at}",
            "Reference": self.reference,
            "Recording": self.recording_url,
        }
        lines = [f"{name}: {value}" for name, value in facts.items() if value]
        return "\n".join([*lines, "", self.notes] if self.notes else lines)

    @property
    def _about(self) -> str:
        if self.unfinished:
            return f"{self.purpose or 'no purpose'} (not finished)"
        if self.no_note_reason == NOT_WRITTEN:
            return _NO_NOTE[NOT_WRITTEN]
        return self.purpose or f"no note needed ({self._why_none or 'no reason'})"

    @property
    def _why_none(self) -> str:
        return self.no_note_words or _NO_NOTE.get(self.no_note_reason, self.no_note_reason)


@dataclass(frozen=True, slots=True)
class EarlierDelivery:
    """The result of earlier attempts to deliver the note of a call."""

    version: int = 0
    """The newest version that the destination has accepted; 0 if there is none."""
    record_id: str = ""
    """The id that `NoteDestination.deliver` returned for `version`."""
    uncertain: bool = False
    """True if an earlier attempt at the present version may have reached the destination."""


class NoteDestination(Protocol):
    """A system that accepts contact notes."""

    @property
    def name(self) -> str:
        """The short name of the destination, which is the name of its directory."""

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its record.

        If `earlier.version` is 0, a record is created. Otherwise the record is changed. A record
        that was deleted since is never created again. If the record already has this version,
        nothing changes.

        Raises:
            NoteRefusedError: The destination does not accept this version, and a further attempt
                would have the same result.
            ServerBusyError: The destination asks for a rest.
            ServerError: The destination cannot be reached now. Any other exception means the same.
        """

    async def close(self) -> None:
        """Close the connections to the destination."""
