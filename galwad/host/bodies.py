"""The base class of all request bodies, and the types of their text fields.

A text that a person can write is refused if it seems to contain the number of a payment card.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
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


def request_bodies(base: type[RequestBody] = RequestBody) -> Iterator[type[RequestBody]]:
    """Yield all request bodies whose modules are imported: the classes below `base`."""
    for body in base.__subclasses__():
        yield body
        yield from request_bodies(body)


def field_names() -> frozenset[str]:
    """Return the names of all fields of the request bodies whose modules are imported."""
    return frozenset(name for body in request_bodies() for name in body.model_fields)
