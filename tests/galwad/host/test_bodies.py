"""`fields_of` gives a response body the fields of a struct or dataclass, without copying them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import pytest
from pydantic import StringConstraints, ValidationError

from galwad.host.bodies import RequestBody, ResponseBody, fields_of


class Part(msgspec.Struct):
    """A part."""

    at: int


class Whole(msgspec.Struct):
    name: str
    secret: str
    parts: tuple[Part, ...] = ()
    last: Part | None = None


@dataclass
class Counts:
    calls: int = 0
    lines: int = 0
    hidden: str = ""


@fields_of(Whole, "name", "parts", "last")
class Shown(ResponseBody):
    """A body that lacks one field of the struct and has one of its own."""

    state: str


@fields_of(Counts, "calls")
class Counted(ResponseBody):
    """A body with one field of the dataclass."""


def test_a_body_lists_the_fields_of_its_struct_before_its_own_fields():
    whole = Whole("a", "b", (Part(1),), Part(2))
    shown = Shown.model_validate({**msgspec.structs.asdict(whole), "state": "open"})
    assert shown.model_dump() == {
        "name": "a",
        "parts": ({"at": 1},),
        "last": {"at": 2},
        "state": "open",
    }
    assert list(shown.model_dump()) == ["name", "parts", "last", "state"]


def test_a_field_that_is_added_to_a_struct_is_not_sent_until_the_body_names_it():
    class Wider(Whole):
        added: str = "not for everybody"

    body = fields_of(Wider, "name", "parts", "last")(ResponseBody)
    wider = Wider("a", "b", (), None)
    assert body.model_validate(wider).model_dump() == {"name": "a", "parts": (), "last": None}


def test_a_name_that_the_struct_does_not_have_is_an_error():
    with pytest.raises(KeyError, match="nmae"):
        fields_of(Whole, "nmae")(ResponseBody)


@fields_of(Whole, "name", "last", texts=Annotated[str, StringConstraints(max_length=3)])
class Asked(RequestBody):
    """A request with two fields of the struct."""

    why: str


def test_a_request_with_the_fields_of_a_struct_limits_their_texts_and_refuses_other_fields():
    asked = {"name": "abc", "last": {"at": 1}, "why": "a long text"}
    assert Asked.model_validate(asked).model_dump() == asked
    for wrong in ({"name": "abcd"}, {"secret": "x"}):
        with pytest.raises(ValidationError):
            Asked.model_validate({**asked, **wrong})


def test_the_schema_of_a_body_requires_each_field_and_takes_descriptions_from_docstrings():
    schema = Shown.model_json_schema(mode="serialization")
    assert (schema["title"], schema["description"]) == (
        "Shown",
        "A body that lacks one field of the struct and has one of its own.",
    )
    assert schema["required"] == ["name", "parts", "last", "state"]
    assert schema["$defs"]["Part"]["description"] == "A part."


def test_a_body_reads_the_named_fields_from_an_object():
    assert Counted.model_validate(Counts(3, 4, "x")).model_dump() == {"calls": 3}
