"""The lists of texts that an installation sets in English and in Welsh, and their rules.

The purposes and the reasons of breaks in the settings follow the same rules as the entries that an
administrator writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Literal, Protocol, Self, TypeAlias, get_args

ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""A pattern for text that has neither control characters nor line breaks."""
CODE: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
"""A pattern for codes that Galwad itself stores, such as `lunch`."""
MOST_ENTRIES: Final = 200
ListName: TypeAlias = Literal["lines", "purposes", "breaks", "no_note_reasons", "teams"]
NoNoteReason: TypeAlias = Literal["wrong_number", "silent", "cut_off", "repeated", "test"]
TextField: TypeAlias = Literal["code", "en", "cy"]
TextFaultKind: TypeAlias = Literal[
    "code",
    "empty",
    "too_long",
    "control",
    "same_code",
    "same_text",
    "too_many",
    "codes_fixed",
    "no_purpose",
]
FAULTY_LISTS: Final[Mapping[TextFaultKind, str]] = {
    "same_code": 'Two {} have the same "code"; give each its own',
    "same_text": "Two {} have the same text; give each its own",
    "empty": "A text in {} is empty; write it in both languages",
    "too_many": f"The list {{}} is too long: at most {MOST_ENTRIES} entries",
}
"""The errors about a list in the settings (`{}`), whose entries have passed their own checks."""


class TextEntryLike(Protocol):
    """An entry of a list: a code, and a text in English and in Welsh."""

    @property
    def code(self) -> str:
        """The code of the entry; "" if it has none."""

    @property
    def en(self) -> str:
        """The text in English."""

    @property
    def cy(self) -> str:
        """The text in Welsh."""


@dataclass(frozen=True, slots=True)
class TextFault:
    """The first rule that a list breaks.

    `number` is the number of the entry, from 1 on; 0 if the whole list is at fault. `field` is the
    faulty part of the entry, or None.
    """

    kind: TextFaultKind
    number: int = 0
    field: TextField | None = None


@dataclass(frozen=True, slots=True)
class TextRules:
    """The rules for one list of texts."""

    longest: int
    """The most characters that a text may have."""
    code: str = CODE
    codes_unique: bool = True
    texts_unique: bool = False
    """True if no two entries may have the same text in any language."""
    welsh_required: bool = True

    def fault_in(
        self, entries: Sequence[TextEntryLike], fixed: Collection[str] | None = None
    ) -> TextFault | None:
        """Return the first rule that these entries break, or None.

        If the codes of the list cannot be changed, `fixed` are its codes: the list must have an
        entry for each of them, and no other.
        """
        if len(entries) > MOST_ENTRIES:
            return TextFault("too_many")
        if fixed is not None and sorted(each.code for each in entries) != sorted(fixed):
            return TextFault("codes_fixed")
        codes: set[str] = set()
        texts: set[str] = set()
        for number, entry in enumerate(entries, 1):
            fault = self._fault_of(entry, number, any_code=fixed is not None)
            if fault is None:
                fault = self._repeated(entry, number, codes, texts)
            if fault is not None:
                return fault
            codes.add(entry.code)
            texts |= {entry.en, entry.cy}
        return None

    def _fault_of(self, entry: TextEntryLike, number: int, *, any_code: bool) -> TextFault | None:
        if not any_code and re.fullmatch(self.code, entry.code) is None:
            return TextFault("code", number, "code")
        fields: tuple[tuple[TextField, str], ...] = (("en", entry.en), ("cy", entry.cy))
        for field, text in fields:
            if not text.strip() and (field == "en" or self.welsh_required):
                return TextFault("empty", number, field)
            if len(text) > self.longest:
                return TextFault("too_long", number, field)
            if re.fullmatch(ONE_LINE, text) is None:
                return TextFault("control", number, field)
        return None

    def _repeated(
        self, entry: TextEntryLike, number: int, codes: Collection[str], texts: Collection[str]
    ) -> TextFault | None:
        if self.codes_unique and entry.code in codes:
            return TextFault("same_code", number, "code")
        if self.texts_unique and entry.en in texts:
            return TextFault("same_text", number, "en")
        if self.texts_unique and entry.cy in texts:
            return TextFault("same_text", number, "cy")
        return None


PURPOSES: Final = TextRules(
    200, code=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,200}$", codes_unique=False, texts_unique=True
)
"""The purposes of calls. Their codes come from the CRM: several may have the same code, or none."""
BREAKS: Final = TextRules(40)
NO_NOTE: Final = TextRules(100)
TEAMS: Final = TextRules(60)
"""The names of teams. With each user, the code of the team is stored."""
LINES: Final = TextRules(100, welsh_required=False)
"""The names of lines. The code is the name in the settings, which machines use."""
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
"""The most entries of one list that are remembered after they were replaced or removed."""


@dataclass(frozen=True, slots=True)
class TextEntry:
    """An entry of a list: its code, and its text in English and in Welsh.

    The code of a purpose is that of the CRM, or "". The code of a line is its name in the settings.
    A Welsh text that is "" is missing. The page then shows the English text.
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
    """A list of texts as it is in force now.

    `changed` is the Unix time of the latest change by an administrator. While the first entries are
    in force, it is 0 and `changed_by` is "". `former` are replaced entries, the newest first.
    """

    name: ListName
    entries: Entries
    changed: float = 0.0
    changed_by: str = ""
    former: Entries = ()

    @property
    def version(self) -> str:
        """The version of the list: 16 hexadecimal digits that change when the list changes."""
        digest = hashlib.sha256(f"{bool(self.changed)} {as_json(self.entries)}".encode())
        return digest.hexdigest()[:_VERSION_DIGITS]

    def remembering(self, before: Iterable[TextEntry]) -> Entries:
        """Return the former entries after this list has replaced a list of the entries `before`."""
        present = {*self.entries}
        kept = dict.fromkeys(each for each in (*before, *self.former) if each not in present)
        return tuple(kept)[:_MOST_FORMER]


def as_json(entries: Entries) -> str:
    """Return these entries as the database stores them."""
    return json.dumps([astuple(each) for each in entries], ensure_ascii=False)


def from_json(text: str) -> Entries:
    """Return the entries that `as_json` has written."""
    return tuple(TextEntry(*each) for each in json.loads(text))
