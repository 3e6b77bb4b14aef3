"""Faults in tables that have one of several models, such as the kinds of directories."""

from __future__ import annotations

import tomllib
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from config.explain import faults_of
from config.section import Section


class Cat(Section):
    kind: Literal["cat"]
    lives: int = Field(default=9, description="a whole number")


class Home(Section):
    street: str = Field(description='a text, such as "Heol Fawr"')


class Dog(Section):
    kind: Literal["dog", "puppy"]
    home: Home


class Zoo(Section):
    pets: tuple[Annotated[Cat | Dog, Field(discriminator="kind")], ...] = ()


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('kind = "cat"\nlives = "x"', (3, '"pets[1].lives" must be a whole number')),
        (
            'kind = "cat"\nlife = 1',
            (3, 'Unknown setting "pets[1].life"; did you mean "pets[1].lives"?'),
        ),
        (
            'kind = "dog"\n[pets.home]\nstreet = 1',
            (4, '"pets[1].home.street" must be a text, such as "Heol Fawr"'),
        ),
        ('kind = "puppy"', (1, 'Missing setting "pets[1].home"')),
        ('kind = "fish"', (1, '"pets[1].kind" must be one of "cat", "dog", "puppy"')),
        ("lives = 9", (1, 'Missing setting "pets[1].kind": add one of "cat", "dog", "puppy"')),
    ],
)
def test_the_fault_of_a_table_that_may_have_several_kinds_names_the_setting_and_line(table, fault):
    text = f"[[pets]]\n{table}\n"
    with pytest.raises(ValidationError) as caught:
        Zoo.model_validate(tomllib.loads(text))
    (found,) = faults_of(caught.value, text, Zoo)
    line, message = fault
    assert found.message.startswith(message)
    assert found.line == line
