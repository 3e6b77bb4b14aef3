"""A Salesforce organisation in which people are found by telephone number.

The number is sent in the body of a parameterized search, so it is in no address and no log of
addresses. The documentation does not say how Salesforce splits a number into the words of its
index. So one search asks for the number with its digits in one word, and for its usual groups.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import phonenumbers
from jmespath.parser import ParsedResult

from callerid.errors import SourceError
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleMapping, compiled
from callerid.person import Person
from callerid.salesforce import SalesforceApi
from callerid.spellings import national, spellings
from callerid.templates import Json

_DIGITS: Final = re.compile(r"[0-9]+")
_WHOLE: Final = re.compile(r"[0-9]{2,}(?: [0-9]{2,})*")
"""A phrase without a word of one character, for which Salesforce does not search."""
_LENGTH: Final = 10
"""The digits of most British numbers without the 0."""
_GROUPS: Final = ((4,), (4, 7), (3, 6), (2, 6), (2, 4), (2,), (5,))
"""The places at which people divide the digits of such a number.

They are those of 01632 960001, 01632 960 001, 0207 946 0000, 020 7946 0000, 029 20 180000,
020 79460000 and 016323 60001.
"""
_INTERNATIONAL: Final = phonenumbers.PhoneNumberFormat.INTERNATIONAL
_RESERVED: Final = re.compile(r"[?&|!{}\[\]()^~*:\\\"'+\-]")
_ESCAPED: Final = r"\\\g<0>"
_MOST_WORDS: Final = 10
_LONGEST_WORD: Final = 80
_MOST_FOUND: Final = 50
_LIMIT: Final = 501
"""The most records that are asked for: one more than `PeopleMapping` accepts.

So an answer that Salesforce has cut short is an error, and not an answer without the caller.
"""


@dataclass(frozen=True, slots=True)
class SalesforceFields:
    """The object whose records are people, and its fields, by their API names."""

    object_name: str
    """The name of the object, such as "Contact"."""
    name: str
    numbers: tuple[str, ...]
    language: str = ""
    do_not_pop: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    """The field of each detail."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all fields in lower case, each only once. Salesforce ignores the case."""
        names = ("Id", self.name, *self.numbers, self.language, self.do_not_pop)
        names += tuple(self.details.values())
        return tuple(dict.fromkeys(name.lower() for name in names if name))


class SalesforceDirectory:
    """A directory that is searched in Salesforce. Its requests are sent by `api`."""

    def __init__(
        self,
        name: str,
        api: SalesforceApi,
        fields: SalesforceFields,
        *,
        has_extensions: bool = False,
    ) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._api = api
        self._object_name = fields.object_name
        self._columns = fields.columns
        self._mapping = _mapping(fields)

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people whom Salesforce finds, at most 500.

        Raises:
            SourceBusyError: Salesforce asks for a rest, or the requests of the day are used up.
            SourceError: Salesforce cannot be searched, or finds more people.
        """
        return await self._ask(search_text(number), "PHONE", _LIMIT)

    async def search(self, text: str) -> list[Person]:
        """Return people who have all words of a text, such as a name and a postcode; at most 50.

        The words, or only their beginnings, may be in any field that Salesforce can search. If the
        text has no word of two letters or digits, no person is found.

        Raises:
            SourceBusyError: Salesforce asks for a rest, or the requests of the day are used up.
            SourceError: Salesforce cannot be searched.
        """
        sought = search_words(text)
        return await self._ask(sought, "ALL", _MOST_FOUND) if sought else []

    async def close(self) -> None:
        """Close the connections to Salesforce."""
        await self._api.close()

    async def _ask(self, text: str, group: str, limit: int) -> list[Person]:
        """Return the people whom Salesforce finds by a text in a group of fields."""
        columns: list[Json] = [*self._columns]
        sought: Json = {
            "q": text,
            "in": group,
            "spellCorrection": False,
            "sobjects": [{"name": self._object_name, "fields": columns, "limit": limit}],
        }
        document = await self._api.send("POST", "parameterizedSearch", sought)
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(self._people, document)

    def _people(self, document: Json) -> list[Person]:
        records = document.get("searchRecords") if isinstance(document, dict) else None
        if not isinstance(records, list):
            raise SourceError("the answer has no list of records")
        rows: list[Json] = [
            {column: _value(record, column) for column in self._columns} for record in records
        ]
        return self._mapping.read(rows, self.name)


def search_text(number: PhoneNumber) -> str:
    """Return the text of a search for a number: phrases of digits, one of which must be found.

    It has only digits, spaces, quotation marks and the operator OR. So no character has a meaning
    of its own in Salesforce's search language.
    """
    phrases = dict.fromkeys(" ".join(_DIGITS.findall(form)) for form in _forms(number))
    return " OR ".join(f'"{phrase}"' for phrase in phrases if _WHOLE.fullmatch(phrase))


def search_words(text: str) -> str:
    """Return the text of a search for words that begin with each word of a text.

    It is "" if the text has no word of two letters or digits. Each word is in quotation marks, and
    each character with a meaning of its own is escaped.
    """
    words = [word[:_LONGEST_WORD] for word in "".join(filter(_plain, text)).split()]
    words = [word for word in words if sum(map(str.isalnum, word)) > 1][:_MOST_WORDS]
    return " AND ".join(f'"{_RESERVED.sub(_ESCAPED, word)}{_rest(word)}"' for word in words)


def _rest(word: str) -> str:
    """Return the wildcard for the rest of a word; "" if the word ends with punctuation."""
    return "*" if word[-1].isalnum() else ""


def _plain(character: str) -> bool:
    return character.isprintable() or character.isspace()


def _forms(number: PhoneNumber) -> Iterator[str]:
    """Yield the spellings of a number, and those of its end, which any prefix may precede."""
    if not number.e164:
        yield number.extension
        return
    yield from spellings(number)
    parsed = phonenumbers.parse(number.e164)
    significant = phonenumbers.national_significant_number(parsed)
    yield significant
    yield phonenumbers.format_number(parsed, _INTERNATIONAL).partition(" ")[2]
    prefix = national(number).removesuffix(significant)
    if prefix == "0" and len(significant) == _LENGTH:
        for ends in _GROUPS:
            cuts = zip((0, *ends), (*ends, _LENGTH), strict=True)
            grouped = " ".join(significant[start:end] for start, end in cuts)
            yield grouped
            yield prefix + grouped


def _mapping(fields: SalesforceFields) -> PeopleMapping:
    """Return the places of people in a list of rows, which have a value for each column."""
    return PeopleMapping(
        people=compiled("@"),
        record_id=_place("Id"),
        name=_place(fields.name),
        numbers=compiled(f"[{', '.join(map(_quoted, fields.numbers))}]"),
        language=_place(fields.language) if fields.language else None,
        do_not_pop=_place(fields.do_not_pop) if fields.do_not_pop else None,
        details={label: _place(name) for label, name in fields.details.items()},
    )


def _place(name: str) -> ParsedResult:
    return compiled(_quoted(name))


def _quoted(name: str) -> str:
    return f'"{name.lower()}"'


def _value(record: Json, column: str) -> Json:
    """Return the value of a field; a field of another record, as "account.name", is inside it."""
    for part in column.split("."):
        if not isinstance(record, dict):
            return None
        record = next((value for name, value in record.items() if name.lower() == part), None)
    return record
