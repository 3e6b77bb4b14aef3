"""The subject and the text under which a contact note is stored in another system."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from callerid.note import NOT_WRITTEN
from callerid.note_destination import OutgoingNote

_CALLER_TYPES: Final = {
    "self": "the person",
    "representative": "a representative",
    "family": "a family member",
    "councillor": "a councillor",
    "officer": "an officer of the council",
    "organisation": "an organisation",
}
_LANGUAGES: Final = {"cy": "Welsh", "en": "English"}
_NO_NOTE: Final = {
    "wrong_number": "wrong number",
    "silent": "the caller was silent",
    "cut_off": "the call was cut off",
    "repeated": "the same call again",
    "test": "a test call",
    NOT_WRITTEN: "no note was written",
}


def started_at(note: OutgoingNote) -> str:
    """Return the start of the call in UTC, such as `2026-11-25T09:30:00Z` (RFC 3339)."""
    return datetime.fromtimestamp(note.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def subject_of(note: OutgoingNote) -> str:
    """Return the line under which a list shows the note. It has the call id."""
    return f"{note.line}: {_about(note)} [{note.call_id}]"


def _about(note: OutgoingNote) -> str:
    if note.unfinished:
        return f"{note.purpose or 'no purpose'} (not finished)"
    if note.no_note_reason == NOT_WRITTEN:
        return _NO_NOTE[NOT_WRITTEN]
    return note.purpose or f"no note needed ({_words_of(note) or 'no reason'})"


def _words_of(note: OutgoingNote) -> str:
    """Return why no note is needed, in words; "" if the note does not say so."""
    return note.no_note_words or _NO_NOTE.get(note.no_note_reason, note.no_note_reason)


def text_of(note: OutgoingNote) -> str:
    """Return all facts of the note as a text of several lines, without lines that say nothing."""
    caller = _CALLER_TYPES.get(note.caller_type, note.caller_type)
    no_note = "Not written" if note.no_note_reason == NOT_WRITTEN else "No note needed"
    facts = {
        "Not finished": "the advisor did not save this note" if note.unfinished else "",
        "Purpose": note.purpose,
        "Outcome": note.outcome,
        "Caller": "" if note.no_note_reason else caller,
        "On behalf of": note.on_behalf_of,
        "Authority": note.authority,
        no_note: _words_of(note),
        "Language": _LANGUAGES.get(note.language, note.language),
        "Line": note.line,
        "Advisor": note.advisor,
        "Call": f"{note.call_id}, {started_at(note)}",
        "Reference": note.reference,
        "Recording": note.recording_url,
    }
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    return "\n".join([*lines, "", note.notes] if note.notes else lines)
