"""Templates of requests to a directory: JSON values in which values are filled in.

A `NumberTemplate` is for a search. The searched number is filled in:

| placeholder | for 01632 960001 |
|---|---|
| `{e164}` | `+441632960001` |
| `{digits}` | `441632960001` |
| `{national}` | `01632960001` |
| `{spelling}` | one usual spelling; the outermost list gets an element for each spelling |
| `"{spellings}"` | a list of the usual spellings; it must be the whole text |

In a `TextTemplate`, `{text}` is the text of a search, such as a name. In a `RecordTemplate`, `{id}`
is the id of a person's record. A template for contact notes
(`callerid.directories.http_notes`) has other placeholders.

Values are filled only into the texts of a JSON value. So no value can change the structure of a
request. A text that has more than the placeholder may be a query, so an id with a quotation mark is
refused there. In an address, values are percent-encoded (RFC 3986, section 2.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from callerid.errors import TemplateError
from callerid.number import PhoneNumber
from callerid.written_numbers import national, spellings
from net.errors import ServerError
from net.json_client import Json

_DEEPEST: Final = 50
_ALL: Final = "{spellings}"
_EACH: Final = "{spelling}"
PLACEHOLDER: Final = re.compile(r"\{([a-z0-9_]+)\}")
"""A placeholder, with its name as the first group."""
_QUOTING: Final = re.compile(r"""['"`\\\x00-\x1f\x7f]""")
"""Characters that begin, end or change a text in the query languages of servers."""
ValueT_contra = TypeVar("ValueT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class PlaceholderTemplate:
    """A JSON value with placeholders. A subclass has `names`, and fills in values."""

    names: ClassVar[tuple[str, ...]]
    value: Json

    def __post_init__(self) -> None:
        """Check the placeholders and their places. Raises `TemplateError`."""
        check_placeholders(self.value, self.names)


class NumberTemplate(PlaceholderTemplate):
    """A JSON value with placeholders for a telephone number."""

    names = ("e164", "digits", "national", "spelling", "spellings")

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of the placeholders in the template."""
        return frozenset(_placeholders(self.value))

    def fill(self, number: PhoneNumber) -> Json:
        """Return the JSON value in which the number is filled in."""
        texts = {
            "e164": number.e164 or number.extension,
            "digits": number.bare.removeprefix("+"),
            "national": national(number),
        }
        return _filled(self.value, texts, spellings(number))


class TextTemplate(PlaceholderTemplate):
    """A JSON value with the placeholder `{text}`."""

    names = ("text",)

    def fill(self, text: str) -> Json:
        """Return the JSON value in which the text is filled in."""
        return _filled(self.value, {"text": text}, ())


class RecordTemplate(PlaceholderTemplate):
    """A JSON value with the placeholder `{id}`."""

    names = ("id",)

    def fill(self, record_id: str) -> Json:
        """Return the JSON value with the id filled in.

        Raises `ServerError` if the placeholder is inside a longer text, such as a query, and the id
        has a character that could end a text there.
        """
        if _QUOTING.search(record_id) and _is_inside_text(self.value):
            raise ServerError("the person has a record id that cannot be a part of a query")
        return _filled(self.value, {"id": record_id}, ())


class Template(Protocol[ValueT_contra]):
    """A JSON value with placeholders."""

    def fill(self, value: ValueT_contra) -> Json:
        """Return the JSON value in which a value is filled in. Raises `ServerError`."""


class RequestForm(Generic[ValueT_contra]):
    """The query and the body of a request in the settings, with placeholders.

    `template` makes a template of a JSON value. `table`, such as "search.", begins the name of the
    setting in a `TemplateError`. It is "" for the directory's own `query` and `body`.
    """

    def __init__(
        self,
        template: Callable[[Json], Template[ValueT_contra]],
        query: Mapping[str, Json],
        body: Json,
        table: str = "",
    ) -> None:
        self._query: dict[str, Template[ValueT_contra]] = {}
        for name, value in query.items():
            with naming(f"{table}query.{name}"):
                self._query[name] = template(value)
        with naming(f"{table}body"):
            self._body = None if body is None else template(body)

    def query(self, value: ValueT_contra) -> list[tuple[str, str]]:
        """Return the parameters in which a value is filled in."""
        return query_of({name: each.fill(value) for name, each in self._query.items()})

    def body(self, value: ValueT_contra) -> Json:
        """Return the body in which a value is filled in."""
        return None if self._body is None else self._body.fill(value)


@contextmanager
def naming(setting: str) -> Iterator[None]:
    """Add the name of a setting to a TemplateError, whose message is the end of a sentence."""
    try:
        yield
    except TemplateError as error:
        raise TemplateError(f'"{setting}" {error}') from None


def _is_inside_text(value: Json) -> bool:
    """Return whether a text of a JSON value has a placeholder and something else."""
    match value:
        case str():
            return PLACEHOLDER.search(value) is not None and not PLACEHOLDER.fullmatch(value)
        case list():
            return any(map(_is_inside_text, value))
        case dict():
            return any(map(_is_inside_text, value.values()))
    return False


def query_of(values: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return the parameters of a request's address. A list gives one parameter for each value.

    A value that is not a text is written as in JSON, so a truth value is `true` or `false`.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        for each in value if isinstance(value, list) else [value]:
            text = each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
            pairs.append((name, text))
    return pairs


def check_placeholders(value: Json, names: Collection[str]) -> None:
    """Check the placeholders of a JSON value and their places. Raises `TemplateError`."""
    _check(value, names, in_list=False, depth=0)


def _check(value: Json, names: Collection[str], *, in_list: bool, depth: int) -> None:
    if depth > _DEEPEST:
        raise TemplateError("is nested too deeply")
    match value:
        case str():
            _check_text(value, names, in_list=in_list)
        case list():
            for each in value:
                _check(each, names, in_list=True, depth=depth + 1)
        case dict():
            for name, each in value.items():
                if PLACEHOLDER.search(name):
                    raise TemplateError("has a placeholder in a key; only values can have one")
                _check(each, names, in_list=in_list, depth=depth + 1)


def _check_text(text: str, names: Collection[str], *, in_list: bool) -> None:
    unknown = next((name for name in PLACEHOLDER.findall(text) if name not in names), None)
    if unknown is not None:
        raise TemplateError(f"has an unknown placeholder: {{{unknown}}}")
    if _ALL in text and text != _ALL:
        raise TemplateError(f"has {_ALL} inside a longer text; write nothing else in this text")
    if _EACH in text and not in_list:
        raise TemplateError(f"has {_EACH} outside a list")


def _placeholders(value: Json) -> set[str]:
    match value:
        case str():
            return set(PLACEHOLDER.findall(value))
        case list():
            return set[str]().union(*map(_placeholders, value))
        case dict():
            return set[str]().union(*map(_placeholders, value.values()))
    return set()


def _filled(value: Json, texts: Mapping[str, str], usual: tuple[str, ...]) -> Json:
    match value:
        case str() if value == _ALL:
            return list(usual)
        case str():
            return PLACEHOLDER.sub(lambda found: texts[found[1]], value)
        case list():
            result: list[Json] = []
            for each in value:
                if "spelling" not in texts and "spelling" in _placeholders(each):
                    result += [_filled(each, {**texts, "spelling": one}, usual) for one in usual]
                else:
                    result.append(_filled(each, texts, usual))
            return result
        case dict():
            return {name: _filled(each, texts, usual) for name, each in value.items()}
    return value
