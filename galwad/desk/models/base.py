"""The base class of all request bodies, and the types of their text fields."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, StringConstraints

Language: TypeAlias = Literal["en", "cy"]
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""A pattern for text that has neither control characters nor line breaks."""
ShortText: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_ONE_LINE)
]
RequiredText: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE)
]


class RequestBody(BaseModel):
    """The base class of all request bodies.

    A body with an unknown field is refused. The error texts do not contain the values in the body.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def field_names() -> frozenset[str]:
    """Return the names of all fields of the request bodies whose modules are imported."""
    return frozenset(name for body in RequestBody.__subclasses__() for name in body.model_fields)
