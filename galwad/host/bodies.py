"""Request bodies: their base class, and the types of their texts. Responses: `fields_of`.

A text that a person can write is refused if it seems to contain the number of a payment card.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, create_model
from pydantic_core import PydanticCustomError

from callerid.card_number import has_card_number

Language: TypeAlias = Literal["en", "cy"]
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""A pattern for text that has neither control characters nor line breaks."""
CARD_NUMBER: Final = "card_number"
"""The type of the validation error about a text that seems to contain a card number."""


def _without_card_number(text: str) -> str:
    if has_card_number(text):
        raise PydanticCustomError(CARD_NUMBER, "must not contain a payment card number")
    return text


NO_CARD_NUMBER: Final = AfterValidator(_without_card_number)
"""Refuses a text that seems to contain a card number. Each free text has this validator."""
ShortText: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=200, pattern=_ONE_LINE),
    NO_CARD_NUMBER,
]
RequiredText: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE),
    NO_CARD_NUMBER,
]


class RequestBody(BaseModel):
    """The base class of all request bodies.

    A body with an unknown field is refused. The error texts do not contain the values in the body.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class DataclassBody:
    """The base class of request bodies that are dataclasses, as `RequestBody` is of all others.

    The types of the fields are checked only in a request, not where Galwad makes such an object.
    """

    __pydantic_config__: ClassVar = RequestBody.model_config


def request_bodies(*bases: Any) -> Iterator[Any]:
    """Yield the request bodies below these classes, or all whose modules are imported."""
    for base in bases or (RequestBody, DataclassBody):
        for body in base.__subclasses__():
            yield body
            yield from request_bodies(body)


def field_names(*bodies: Any) -> frozenset[str]:
    """Return the names of the fields of these request bodies, or of all that are imported."""
    return frozenset(
        name
        for body in bodies or request_bodies()
        for name in getattr(body, "model_fields", None) or body.__dataclass_fields__
    )


class ResponseBody(BaseModel):
    """A response whose values may be read from the attributes of an object."""

    model_config = ConfigDict(from_attributes=True)


_Body = TypeVar("_Body", bound=ResponseBody)


def fields_of(
    facts: type, *, only: Collection[str] | None = None, without: Collection[str] = ()
) -> Callable[[type[_Body]], type[_Body]]:
    """Add the fields of a struct or dataclass to a response body.

    FastAPI itself takes no `msgspec.Struct`, and dataclasses only with all their fields. `only` or
    `without` names the fields that the body gets or lacks.
    """

    def add(body: type[_Body]) -> type[_Body]:
        shared = {
            name: field
            for name, field in _fields(facts).items()
            if (only is None or name in only) and name not in without
        }
        own = {name: (field.annotation, field) for name, field in body.model_fields.items()}
        return cast("type[_Body]", _model(body, {**shared, **own}))

    return add


def _model(named: type, fields: dict[str, Any]) -> type[ResponseBody]:
    """Return a body with these fields, and with the name and the docstring of a class."""
    module, text = named.__module__, named.__doc__
    return create_model(
        named.__name__, __base__=ResponseBody, __module__=module, __doc__=text, **fields
    )


def _fields(facts: type) -> dict[str, Any]:
    hints = get_type_hints(facts, include_extras=True)
    return {name: (_with_bodies(hint), ...) for name, hint in hints.items()}


def _with_bodies(kind: Any) -> Any:
    """Return a type with response bodies in place of its structs."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _model(kind, _fields(kind))
    arguments = tuple(_with_bodies(each) for each in get_args(kind))
    if isinstance(kind, UnionType):
        return Union[arguments]  # noqa: UP007 - it has a tuple of types
    return get_origin(kind)[arguments] if arguments else kind
