"""Reads people from the JSON document with which a directory answers.

The settings say by JMESPath expressions (jmespath.org) where the document has the people, and where
each of them has a name, numbers and so on. A document that does not fit raises `ServerError`, whose
message never repeats a part of the document.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, TypeAlias

import jmespath
import jmespath.exceptions
import jmespath.functions
from jmespath.parser import ParsedResult
from pydantic import AfterValidator, Field

from callerid.errors import TemplateError
from callerid.person import Person, PersonKind
from callerid.templates import naming
from callerid.written_numbers import LONGEST
from config.section import Section
from net.errors import ServerError
from net.json_client import Json

_MOST_PEOPLE: Final = 500
_MOST_NUMBERS: Final = 50
_LONGEST_TEXT: Final = 2000
_LONGEST_ID: Final = 200
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_KNOWN: Final = frozenset(jmespath.functions.Functions.FUNCTION_TABLE)
_MISFITS: Final = (
    jmespath.exceptions.JMESPathError,
    ArithmeticError,
    RecursionError,
    TypeError,
    ValueError,
)
"""The errors that an expression raises if it does not fit a document."""
_NO: Final = frozenset({"", "false", "no", "n", "0", "off", "na", "nac ydy"})
_YES: Final = frozenset({"true", "yes", "y", "1", "ie", "ydy"})
_LANGUAGES: Final = {"cy": "cy", "welsh": "cy", "cymraeg": "cy", "en": "en", "english": "en"}


def compiled(expression: str) -> ParsedResult:
    """Return a JMESPath expression that can be applied. Raises `TemplateError`."""
    try:
        parsed = jmespath.compile(expression)
        unknown = next((each for each in _functions(parsed.parsed) if each not in _KNOWN), None)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError):
        raise TemplateError("is not a JMESPath expression") from None
    if unknown is not None:
        raise TemplateError(f"calls an unknown function: {unknown}")
    return parsed


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _functions(child)


def path(setting: str, expression: str) -> ParsedResult:
    """Return the JMESPath expression of a setting. A TemplateError names the setting."""
    with naming(setting):
        return compiled(expression)


def optional_path(setting: str, expression: str | None) -> ParsedResult | None:
    """Return the JMESPath expression of a setting, as `path` does; None if it is not set."""
    return None if expression is None else path(setting, expression)


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError):
        raise ValueError("must be a JMESPath expression (jmespath.org)") from None
    return text


Expression: TypeAlias = Annotated[str, AfterValidator(_expression)]
"""The type of a setting that is a JMESPath expression."""
PATH: Final = 'a JMESPath expression, such as "fullname"'


class PeopleFields(Section):
    """`[directories.fields]`: where each person in an answer has an id, a name and numbers.

    `numbers` finds a text with the person's numbers, or a list of such texts. If a setting is
    None, the person has the default of `Person`.
    """

    id: Expression = Field(description=PATH)
    name: Expression = Field(description=PATH)
    numbers: Expression = Field(description='a JMESPath expression, such as "[phone, mobile]"')
    language: Expression | None = Field(default=None, description=PATH)
    kind: Expression | None = Field(default=None, description=PATH)
    shared: Expression | None = Field(default=None, description=PATH)
    do_not_pop: Expression | None = Field(default=None, description=PATH)
    details: dict[str, Expression] = Field(
        default_factory=dict, description='a table, such as { address = "address.line1" }'
    )


class PeopleMapping:
    """The places of people in a JSON document. Raises `TemplateError`.

    `people` is the JMESPath expression for the list, and `fields` are applied to each person.
    """

    def __init__(self, people: str, fields: PeopleFields) -> None:
        self._people = path("people", people)
        self._record_id = path("fields.id", fields.id)
        self._name = path("fields.name", fields.name)
        self._numbers = path("fields.numbers", fields.numbers)
        self._language = optional_path("fields.language", fields.language)
        self._kind = optional_path("fields.kind", fields.kind)
        self._shared = optional_path("fields.shared", fields.shared)
        self._do_not_pop = optional_path("fields.do_not_pop", fields.do_not_pop)
        self._details = {
            label: path(f"fields.details.{label}", each) for label, each in fields.details.items()
        }

    def read(self, document: Json, source: str) -> list[Person]:
        """Return the people in a document; `source` is the name of the directory.

        A document that is None has no people. A person is left out if the name or the id is missing
        or the id is too long. Raises `ServerError` if `people` finds no list or too many people, or
        if an expression does not fit the document.
        """
        if document is None:
            return []
        found = apply(self._people, document)
        if not isinstance(found, list):
            raise ServerError('the answer has no list where "people" points')
        if len(found) > _MOST_PEOPLE:
            raise ServerError(f"the answer has more than {_MOST_PEOPLE} people")
        return [person for item in found if (person := self._person(item, source)) is not None]

    def _person(self, item: Json, source: str) -> Person | None:
        record_id = text_of_value(apply(self._record_id, item))
        name = text_of_value(apply(self._name, item))
        if not (record_id and name) or len(record_id) > _LONGEST_ID:
            return None
        details = {label: text_of_value(apply(each, item)) for label, each in self._details.items()}
        return Person(
            person_id=f"{source}:{record_id}",
            name=name,
            language=_language(self._optional(self._language, item)),
            kind=_kind(self._optional(self._kind, item)),
            shared=self._optional(self._shared, item).lower() in _YES,
            do_not_pop=self._do_not_pop is not None and _hides(apply(self._do_not_pop, item)),
            details=tuple((label, text) for label, text in details.items() if text),
            numbers=tuple(_numbers(apply(self._numbers, item))),
        )

    @staticmethod
    def _optional(place: ParsedResult | None, item: Json) -> str:
        return "" if place is None else text_of_value(apply(place, item))


def apply(place: ParsedResult, document: Json) -> Any:
    """Return what a JMESPath expression points to, or None. Raises `ServerError`."""
    try:
        return place.search(document)
    except _MISFITS as error:
        raise ServerError(f"the answer does not fit the mapping: {type(error).__name__}") from None


def text_of_value(value: Any) -> str:
    """Return a text, number or truth value as a line of at most 2000 characters.

    Return "" for any other value.
    """
    return " ".join(_visible(value).split())[:_LONGEST_TEXT].strip()


def text_of_lines(value: Any) -> str:
    """Return a value as `text_of_value` does, but keep the line ends and spaces inside it."""
    return _visible(value).strip()[:_LONGEST_TEXT].strip()


def _visible(value: Any) -> str:
    """Return a value as a text with its line ends; "" if it is no text, number or truth value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if not isinstance(value, int | float | str):
        return ""
    try:
        text = str(value)
    except ValueError:  # an integer with thousands of digits
        return ""
    return "".join(
        each for each in text if each.isspace() or unicodedata.category(each) not in _INVISIBLE
    )


def _numbers(value: Any) -> Iterator[str]:
    """Yield the texts with numbers in a value, which is a text or a list of texts.

    Line ends stay, because they separate numbers.
    """
    values = value if isinstance(value, list) else [value]
    for each in values[:_MOST_NUMBERS]:
        text = _visible(each).strip()
        if text and len(text) <= LONGEST:
            yield text


def _hides(value: Any) -> bool:
    """Return whether a value hides a person. Every value but a clear no hides the person."""
    if isinstance(value, list | dict):
        return bool(value)
    if isinstance(value, str):  # invisible characters stay: without them, it may be a no
        return " ".join(value.split()).lower() not in _NO
    return value is not None and text_of_value(value).lower() not in _NO


def _language(text: str) -> str:
    return _LANGUAGES.get(re.split("[-_]", text.lower())[0], "")


def _kind(text: str) -> PersonKind:
    try:
        return PersonKind(text.lower())
    except ValueError:
        return PersonKind.PERSON
