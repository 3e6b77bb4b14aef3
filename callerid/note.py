"""The fields of a contact note, as the advisor writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from callerid.card_number import ADVICE, has_card_number
from callerid.errors import ContactError

NOT_WRITTEN: Final = "not_written"
"""The reason in place of a note that was not written in time."""
_TEXTS: Final = ("purpose", "outcome", "on_behalf_of", "authority", "notes")


@dataclass(frozen=True, slots=True)
class Note:
    """The fields of a contact note, as the advisor wrote them.

    If `caller_type` is "self", the caller speaks for no other person. For every other
    `caller_type`, `on_behalf_of` and `authority` must not be empty. If the call needs no note,
    `no_note_reason` says why, such as "wrong_number", and the other fields are empty. If
    `unfinished` is true, the desk stored the advisor's draft, which may lack any field.
    """

    purpose: str
    language: str
    outcome: str = ""
    caller_type: str = "self"
    on_behalf_of: str = ""
    authority: str = ""
    notes: str = ""
    no_note_reason: str = ""
    unfinished: bool = False

    @classmethod
    def not_needed(cls, reason: str) -> Self:
        """Return the note of a call that needs no note for this reason."""
        return cls(purpose="", language="", no_note_reason=reason)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the note with the values in `fields`, which may have others as well."""
        return cls(**{name: fields[name] for name in NOTE_FIELDS if name in fields})

    @property
    def texts(self) -> tuple[str, ...]:
        """The free texts that are not empty."""
        return tuple(text for name in _TEXTS if (text := getattr(self, name)))

    def with_more(self, lines: tuple[str, ...]) -> Self:
        """Return this note with further lines at the end of `notes`."""
        return replace(self, notes="\n".join(text for text in (self.notes, *lines) if text))

    def check(self) -> None:
        """Check that the note has all required fields, and that no field has a card number.

        Each note needs a purpose, unless it says why no note is needed. If a representative calls,
        the note also needs the person for whom the representative speaks, and the authority on
        which the representative speaks.

        Raises:
            ContactError: The message names the missing field, or the field with the card number.
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
        """Check that no field has a card number.

        Raises:
            ContactError: The message names the field.
        """
        for name in _TEXTS:
            if has_card_number(getattr(self, name)):
                raise ContactError(f"{name} seems to contain a payment card number: {ADVICE}")


NOTE_FIELDS: Final = tuple(Note.__dataclass_fields__)
