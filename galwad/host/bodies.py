"""The base classes of request and response bodies, and the types of the texts in them.

`fields_of` gives a body the fields of another class. A text that a person can write is refused if
it seems to contain the number of a payment card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
)
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
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_ONE_LINE), NO_CARD_NUMBER
]
RequiredText: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE),
    NO_CARD_NUMBER,
]


def _with_plain_lines(text: object) -> object:
    return text.replace("\r\n", "\n").replace("\t", " ") if isinstance(text, str) else text


LongText: TypeAlias = Annotated[
    str,
    BeforeValidator(_with_plain_lines),
    StringConstraints(
        strip_whitespace=True,
        max_length=2000,
        pattern=r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]*$",
    ),
    NO_CARD_NUMBER,
]
"""A text of up to 2,000 characters that may have several lines."""
Number: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""The number of an item in a register."""


class RequestBody(BaseModel):
    """The base class of all request bodies except dataclasses, which have `DataclassBody`.

    A body with an unknown field is refused. The error texts do not contain the values in the body.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class DataclassBody:
    """The base class of request bodies that are dataclasses.

    It has the same rules as `RequestBody`. The types of the fields are checked only in a request,
    not where Galwad makes such an object.
    """

    __pydantic_config__: ClassVar = RequestBody.model_config


def request_bodies(*bases: Any) -> Iterator[Any]:
    """Yield all subclasses of `bases`; without arguments, all request bodies that are imported."""
    for base in bases or (RequestBody, DataclassBody):
        for body in base.__subclasses__():
            yield body
            yield from request_bodies(body)


def field_names(*bodies: Any) -> frozenset[str]:
    """Return the names of the fields of `bodies`; without arguments, of all request bodies."""
    return frozenset(
        name
        for body in bodies or request_bodies()
        for name in getattr(body, "model_fields", None) or body.__dataclass_fields__
    )


class ResponseBody(BaseModel):
    """A response whose values may be read from the attributes of an object."""

    model_config = ConfigDict(from_attributes=True)


_Body = TypeVar("_Body", bound=BaseModel)


def fields_of(facts: type, *names: str, texts: Any = str) -> Callable[[type[_Body]], type[_Body]]:
    """Return a decorator that adds the fields `names` of the class `facts` to a body.

    `facts` is a struct or a dataclass. FastAPI itself does not accept a `msgspec.Struct`, and sends
    all fields of a dataclass. A new field of `facts` is not sent until `names` has it too.
    `texts` is the type that the fields of type `str` get, for a request whose texts have limits.
    """

    def add(body: type[_Body]) -> type[_Body]:
        known = _fields(facts, texts)
        shared = {name: known[name] for name in names}
        own = {name: (field.annotation, field) for name, field in body.model_fields.items()}
        base = RequestBody if issubclass(body, RequestBody) else ResponseBody
        return cast("type[_Body]", _model(body, base, {**shared, **own}))

    return add


def _model(named: type, base: type[BaseModel], fields: dict[str, Any]) -> type[BaseModel]:
    module, text = named.__module__, named.__doc__
    return create_model(named.__name__, __base__=base, __module__=module, __doc__=text, **fields)


def _fields(facts: type, texts: Any = str) -> dict[str, Any]:
    hints = get_type_hints(facts, include_extras=True)
    return {name: (_with_bodies(hint, texts), ...) for name, hint in hints.items()}


def _with_bodies(kind: Any, texts: Any) -> Any:
    """Return the type `kind` with `texts` for each `str`, and a response body for each struct."""
    if kind is str:
        return texts
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _model(kind, ResponseBody, _fields(kind))
    arguments = tuple(_with_bodies(each, texts) for each in get_args(kind))
    if isinstance(kind, UnionType):
        return Union[arguments]  # noqa: UP007 - it has a tuple of types
    return get_origin(kind)[arguments] if arguments else kind
