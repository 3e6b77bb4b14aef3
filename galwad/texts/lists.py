"""A list of texts in two languages, such as reasons of breaks: entries, version and rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Final, Self, TypeAlias, get_args

from galwad.texts.rules import (
    BREAKS,
    LINES,
    NO_NOTE,
    PURPOSES,
    TEAMS,
    ListName,
    TextEntryLike,
    TextRules,
)

LIST_NAMES: Final[tuple[ListName, ...]] = get_args(ListName)
FIXED: Final[frozenset[ListName]] = frozenset({"lines", "no_note_reasons"})
"""The lists whose codes cannot be changed: only their texts can."""
RULES: Final[Mapping[ListName, TextRules]] = {
    "lines": LINES,
    "purposes": PURPOSES,
    "breaks": BREAKS,
    "no_note_reasons": NO_NOTE,
    "teams": TEAMS,
}
_VERSION_DIGITS: Final = 16
_MOST_FORMER: Final = 200
"""The most entries that are remembered after they were removed from a list."""


@dataclass(frozen=True, slots=True)
class TextEntry:
    """An entry of a list: its code, and its text in English and in Welsh.

    The code of a purpose is that of the CRM, or "". The code of a line is its name in the settings.
    """

    code: str
    en: str
    cy: str

    @classmethod
    def of(cls, entry: TextEntryLike) -> Self:
        """Return the entry with the code and the texts of another object."""
        return cls(entry.code, entry.en, entry.cy)


Entries: TypeAlias = tuple[TextEntry, ...]


@dataclass(frozen=True, slots=True)
class TextList:
    """A list of texts as it counts now.

    `changed` is the Unix time of the latest change on the page; 0, with `changed_by` "", while the
    list of the settings counts. `former` are removed entries, the newest first.
    """

    name: ListName
    entries: Entries
    changed: float = 0.0
    changed_by: str = ""
    former: Entries = ()

    @property
    def version(self) -> str:
        """The version of the list: 16 hexadecimal digits that change with each of its entries."""
        digest = hashlib.sha256(f"{bool(self.changed)} {as_json(self.entries)}".encode())
        return digest.hexdigest()[:_VERSION_DIGITS]

    def remembering(self, before: Iterable[TextEntry]) -> Entries:
        """Return the former entries after this list has replaced one with the entries `before`."""
        present = {*self.entries}
        kept = dict.fromkeys(each for each in (*before, *self.former) if each not in present)
        return tuple(kept)[:_MOST_FORMER]


def as_json(entries: Entries) -> str:
    """Return these entries as the database stores them."""
    return json.dumps([astuple(each) for each in entries], ensure_ascii=False)


def from_json(text: str) -> Entries:
    """Return the entries that `as_json` has written."""
    return tuple(TextEntry(*each) for each in json.loads(text))
