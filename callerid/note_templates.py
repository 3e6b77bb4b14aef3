"""Templates of requests that write a contact note: JSON values and addresses with placeholders.

The placeholders are `NOTE_PLACEHOLDERS`. A member of an object whose whole text is one placeholder
without a value is left out: a note without a confirmed person has no member for the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from callerid.errors import TemplateError
from callerid.note_destination import OutgoingNote
from callerid.note_text import started_at, subject_of, text_of
from callerid.templates import PLACEHOLDER, Json, check_placeholders

NOTE_PLACEHOLDERS: Final = (
    *("note_id", "call_id", "version", "version_id", "record_id", "started", "line", "advisor"),
    *("person_id", "reference", "purpose", "purpose_code", "language", "outcome", "caller_type"),
    *("on_behalf_of", "authority", "notes", "recording_url", "subject", "text"),
)
IN_ADDRESS: Final = ("note_id", "call_id", "version", "version_id", "record_id")
"""The placeholders that an address may have: those without personal data."""


def version_id(note: OutgoingNote) -> str:
    """Return a text that no other version of a note has, such as `20261125-093000-abcdefgh/1`."""
    return f"{note.call_id}/{note.version}"


def note_values(note: OutgoingNote, record_id: str = "") -> dict[str, str]:
    """Return the value of each placeholder; `record_id` is the id of the note's record."""
    plain = ("call_id", "line", "advisor", "person_id", "reference", "purpose", "purpose_code")
    more = ("language", "outcome", "caller_type", "on_behalf_of", "authority", "notes")
    return {
        **{name: getattr(note, name) for name in (*plain, *more, "recording_url")},
        "note_id": str(note.note_id),
        "version": str(note.version),
        "version_id": version_id(note),
        "record_id": record_id,
        "started": started_at(note),
        "subject": subject_of(note),
        "text": text_of(note),
    }


@dataclass(frozen=True, slots=True)
class NoteTemplate:
    """A JSON value with placeholders."""

    value: Json

    def __post_init__(self) -> None:
        """Check the placeholders.

        Raises:
            TemplateError: A placeholder is unknown.
        """
        check_placeholders(self.value, NOTE_PLACEHOLDERS)

    def fill(self, values: Mapping[str, str]) -> Json:
        """Return the JSON value in which these values are filled in."""
        return _filled(self.value, values)


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """An address with placeholders."""

    text: str

    def __post_init__(self) -> None:
        """Check the placeholders.

        Raises:
            TemplateError: A placeholder is unknown, or its value may be personal.
        """
        for name in PLACEHOLDER.findall(self.text):
            if name not in IN_ADDRESS:
                raise TemplateError(f"has a placeholder that no address can have: {{{name}}}")

    def has(self, name: str) -> bool:
        """Return whether the address has this placeholder."""
        return name in PLACEHOLDER.findall(self.text)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the address in which these values are filled in, percent-encoded."""
        return PLACEHOLDER.sub(lambda found: quote(values[found[1]], safe=""), self.text)


def _filled(value: Json, values: Mapping[str, str]) -> Json:
    match value:
        case str():
            return PLACEHOLDER.sub(lambda found: values[found[1]], value)
        case list():
            return [_filled(each, values) for each in value]
        case dict():
            return {
                name: _filled(each, values)
                for name, each in value.items()
                if not _is_without_value(each, values)
            }
    return value


def _is_without_value(value: Json, values: Mapping[str, str]) -> bool:
    found = PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return found is not None and not values[found[1]]
