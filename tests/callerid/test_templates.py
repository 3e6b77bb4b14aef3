"""Templates of requests: what is filled in, and which templates are refused."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from callerid.errors import TemplateError
from callerid.number import PhoneNumber
from callerid.templates import NumberTemplate, RecordTemplate, TextTemplate, query_of
from callerid.written_numbers import spellings
from net.errors import ServerError
from net.json_client import Json

HOME = PhoneNumber("+441632960001")
FOREIGN = PhoneNumber("+35312345678")
INSIDE = PhoneNumber("", "201")
USUAL = list(spellings(HOME))

UNKNOWN = "has an unknown placeholder: {%s}"
IN_A_NAME = "has a placeholder in a key; only values can have one"
INSIDE_A_TEXT = "has {spellings} inside a longer text; write nothing else in this text"
OUTSIDE_A_LIST = "has {spelling} outside a list"


def filled(value, number=HOME):
    return NumberTemplate(value).fill(number)


def json_values(texts, names):
    """Return a strategy for JSON values that have the given texts, and names of members."""
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=20,
    )


NO_BRACES = st.text(st.characters(exclude_characters="{}"))
WITHOUT_PLACEHOLDERS = json_values(NO_BRACES, NO_BRACES)
WITH_ANYTHING = json_values(
    st.sampled_from(["{e164}", "{digits}", "{national}", "{spelling}", "{spellings}", "{{e164}}"])
    | st.sampled_from(["tel:{e164}", "x{spelling}x", "{}", "{ id }", "", "%", '"', "\\"])
    | st.text(),
    st.text("ab{}", max_size=3),
)
REFUSED = st.sampled_from(["{name}", "{spellings} or so", "a{spellings}", "{e164} {x}"])


@pytest.mark.parametrize(
    ("text", "home", "foreign", "inside"),
    [
        ("{e164}", "+441632960001", "+35312345678", "201"),
        ("{digits}", "441632960001", "35312345678", "201"),
        ("{national}", "01632960001", "0035312345678", "201"),
        ("tel:{e164}", "tel:+441632960001", "tel:+35312345678", "tel:201"),
        ("*{digits}*", "*441632960001*", "*35312345678*", "*201*"),
        (
            "phone:{e164} OR phone:{national}",
            "phone:+441632960001 OR phone:01632960001",
            "phone:+35312345678 OR phone:0035312345678",
            "phone:201 OR phone:201",
        ),
        ("{e164}{e164}", "+441632960001+441632960001", "+35312345678+35312345678", "201201"),
        ("{{e164}}", "{+441632960001}", "{+35312345678}", "{201}"),
    ],
)
def test_a_placeholder_in_a_text_is_replaced_by_the_number(text, home, foreign, inside):
    assert filled(text, HOME) == home
    assert filled(text, FOREIGN) == foreign
    assert filled(text, INSIDE) == inside


def test_the_spellings_placeholder_is_replaced_by_a_list():
    assert filled("{spellings}") == USUAL
    assert filled({"operator": "IN", "values": "{spellings}"}) == {
        "operator": "IN",
        "values": USUAL,
    }
    assert filled(["{spellings}", 1]) == [USUAL, 1]
    assert filled("{spellings}", INSIDE) == ["201"]


def test_a_list_element_with_spelling_is_repeated_for_each_spelling():
    assert filled(["{spelling}"]) == USUAL
    assert filled(["first", "{spelling}", "last"]) == ["first", *USUAL, "last"]
    assert filled(["phone:{spelling}"]) == [f"phone:{one}" for one in USUAL]
    assert filled(["{spelling}"], INSIDE) == ["201"]


def test_all_of_a_repeated_element_has_the_same_spelling():
    template = [{"field": "Phone", "value": "{spelling}", "also": {"text": "={spelling}={e164}"}}]
    assert filled(template) == [
        {"field": "Phone", "value": one, "also": {"text": f"={one}=+441632960001"}} for one in USUAL
    ]


def test_two_list_elements_with_spelling_are_each_repeated_for_every_spelling():
    assert filled([{"home": "{spelling}"}, {"work": "{spelling}"}]) == [
        *({"home": one} for one in USUAL),
        *({"work": one} for one in USUAL),
    ]


def test_placeholders_are_replaced_at_every_depth():
    template = {
        "filter": {"any": [{"term": {"phone": "{e164}"}}, [["{national}"]]]},
        "size": 20,
        "active": True,
        "after": None,
    }
    assert filled(template) == {
        "filter": {"any": [{"term": {"phone": "+441632960001"}}, [["01632960001"]]]},
        "size": 20,
        "active": True,
        "after": None,
    }


def test_braces_that_are_no_placeholder_stay():
    query = '{ people(phone: "{e164}") { id name } }'
    assert filled({"query": query, "variables": {}}) == {
        "query": '{ people(phone: "+441632960001") { id name } }',
        "variables": {},
    }
    assert filled("{} { } } {") == "{} { } } {"


def test_a_template_is_not_changed_when_it_is_filled():
    value: Json = {"any": [{"phone": "{spelling}"}], "all": "{spellings}", "fixed": [1, {"a": []}]}
    before = copy.deepcopy(value)
    template = NumberTemplate(value)
    first = template.fill(HOME)
    assert template.fill(FOREIGN) != first
    assert template.fill(HOME) == first
    assert value == before


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("{e164}", {"e164"}),
        ("{e164} {national} {e164}", {"e164", "national"}),
        ("{spellings}", {"spellings"}),
        (["{spelling}", {"a": [{"b": "{digits}"}]}], {"spelling", "digits"}),
        ({"a": None, "b": 1.5, "c": True, "d": [], "e": {}, "f": "text"}, set()),
        (None, set()),
    ],
)
def test_a_template_lists_the_placeholders_in_it(value, names):
    assert NumberTemplate(value).placeholders == names


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{phone}", UNKNOWN % "phone"),
        ("{number_1}", UNKNOWN % "number_1"),
        ("{spellingss}", UNKNOWN % "spellingss"),
        ("{e164} {extension}", UNKNOWN % "extension"),
        (["{first}", "{second}"], UNKNOWN % "first"),
        ({"a": [{"b": {"c": ["{name}"]}}]}, UNKNOWN % "name"),
        ("{spellings} {phone}", UNKNOWN % "phone"),
        ("{spellings} ", INSIDE_A_TEXT),
        ("in {spellings}", INSIDE_A_TEXT),
        ("{spellings}{spellings}", INSIDE_A_TEXT),
        ({"a": ["phone:{spellings}"]}, INSIDE_A_TEXT),
        ("{spelling}", OUTSIDE_A_LIST),
        ("phone:{spelling}", OUTSIDE_A_LIST),
        ({"phone": "{spelling}"}, OUTSIDE_A_LIST),
        ({"a": {"b": {"c": "{spelling}"}}}, OUTSIDE_A_LIST),
        ({"list": ["{spelling}"], "text": "{spelling}"}, OUTSIDE_A_LIST),
        ({"{e164}": 1}, IN_A_NAME),
        ({"x{spelling}": 1}, IN_A_NAME),
        ({"{phone}": 1}, IN_A_NAME),
        ([{"a": [{"{spellings}": None}]}], IN_A_NAME),
    ],
)
def test_an_unknown_or_misplaced_placeholder_is_refused_with_its_reason(value, message):
    with pytest.raises(TemplateError) as refused:
        NumberTemplate(value)
    assert str(refused.value) == message


@given(WITHOUT_PLACEHOLDERS, st.sampled_from([HOME, FOREIGN, INSIDE]))
def test_filling_a_template_without_placeholders_returns_it_unchanged(value, number):
    template = NumberTemplate(value)
    assert template.placeholders == frozenset()
    assert template.fill(number) == value


@given(WITH_ANYTHING)
def test_a_template_that_is_accepted_can_be_filled_and_sent(value):
    try:
        template = NumberTemplate(value)
    except TemplateError:
        return
    result = template.fill(INSIDE)  # which has only one spelling, so that nothing is repeated
    assert json.loads(json.dumps(result)) == result


@given(WITH_ANYTHING, REFUSED)
def test_a_template_with_a_fault_anywhere_is_refused(value, fault):
    for faulty in ([value, fault], {"a": value, "b": {"c": [fault]}}, [[fault], value]):
        with pytest.raises(TemplateError):
            NumberTemplate(faulty)


@given(
    st.lists(
        st.sampled_from(["{e164}", "{digits}", "{national}"])
        | st.text(max_size=3)
        | st.sampled_from("{}"),
        max_size=8,
    ),
    st.sampled_from([HOME, FOREIGN, INSIDE]),
)
def test_only_the_placeholders_of_a_text_are_replaced(parts, number):
    text = "".join(parts)
    try:
        template = NumberTemplate({"text": [text]})
    except TemplateError:
        assume(False)
    expected = text
    for name in ("{e164}", "{digits}", "{national}"):
        value = filled(name, number)
        assert isinstance(value, str)
        expected = expected.replace(name, value)
    assert template.fill(number) == {"text": [expected]}


@given(
    json_values(
        st.sampled_from(["{e164}", "{digits}", "{national}", "x"]), st.text("abc", max_size=2)
    ),
    st.sampled_from([HOME, FOREIGN, INSIDE]),
)
def test_a_number_never_changes_the_structure_of_a_request(value, number):
    def shape(part):
        if isinstance(part, dict):
            return {name: shape(each) for name, each in part.items()}
        if isinstance(part, list):
            return [shape(each) for each in part]
        return "text" if isinstance(part, str) else part

    assert shape(filled(value, number)) == shape(value)


def query(number=HOME, **values):
    return query_of({name: NumberTemplate(each).fill(number) for name, each in values.items()})


def test_a_query_has_its_parameters_in_the_order_of_the_settings():
    assert query(q="phone:{e164}", size=25, after="", factor=1.5) == [
        ("q", "phone:+441632960001"),
        ("size", "25"),
        ("after", ""),
        ("factor", "1.5"),
    ]


def test_a_parameter_with_several_values_occurs_repeatedly():
    expected = [("phone", one) for one in USUAL]
    assert query(phone="{spellings}") == expected
    assert query(phone=["{spelling}"]) == expected
    assert query(phone=["{e164}", "{national}", 3]) == [
        ("phone", "+441632960001"),
        ("phone", "01632960001"),
        ("phone", "3"),
    ]


def test_a_parameter_with_no_value_is_left_out():
    assert query(phone="{digits}", tags=[]) == [("phone", "441632960001")]
    assert query_of({}) == []


def test_a_query_for_an_internal_extension_has_the_extension():
    assert query(INSIDE, a="{e164}", b="{digits}", c="{national}", d="{spellings}") == [
        ("a", "201"),
        ("b", "201"),
        ("c", "201"),
        ("d", "201"),
    ]


def test_a_json_document_in_a_query_parameter_is_filled_and_stays_valid():
    document = '[{"field":"MobilePhone","operator":"=","value":"{national}"}]'
    ((name, value),) = query(query=document)
    assert name == "query"
    assert json.loads(value) == [{"field": "MobilePhone", "operator": "=", "value": "01632960001"}]


def test_only_the_outermost_list_is_repeated():
    template = NumberTemplate({"groups": [{"filters": [{"phone": "{spelling}"}]}]})
    assert template.fill(HOME) == {
        "groups": [{"filters": [{"phone": one}]} for one in spellings(HOME)]
    }


def test_a_value_in_a_query_that_is_not_a_text_is_written_as_in_json():
    assert query(active=True, all=[False, "x", 7]) == [
        ("active", "true"),
        ("all", "false"),
        ("all", "x"),
        ("all", "7"),
    ]


@pytest.mark.parametrize("depth", [60, 500, 5000])
def test_a_template_that_is_nested_too_deeply_is_refused_before_it_is_filled(depth):
    value: Json = "{e164}"
    for _ in range(depth):
        value = {"a": [value]}
    with pytest.raises(TemplateError, match="is nested too deeply"):
        NumberTemplate(value)


@given(st.text())
def test_a_search_text_is_filled_only_into_texts(text):
    template = TextTemplate({"q": ["name:{text}"], "n": 1})
    assert template.fill(text) == {"q": [f"name:{text}"], "n": 1}


def test_a_number_placeholder_in_a_template_for_a_search_text_is_refused():
    with pytest.raises(TemplateError, match=r"unknown placeholder: {e164}"):
        TextTemplate("{e164}")


@pytest.mark.parametrize("record_id", ["x' OR id > 0 OR Name = '", 'a"b', "a\\", "`", "a\nb"])
def test_an_id_with_a_quotation_mark_is_never_a_part_of_a_query(record_id):
    templates: list[Json] = ["Requestor.Name = '{id}'", {"query": ["a", "Name = '{id}'"]}]
    for template in templates:
        with pytest.raises(ServerError, match="cannot be a part of a query"):
            RecordTemplate(template).fill(record_id)
    assert RecordTemplate({"person": "{id}"}).fill(record_id) == {"person": record_id}


def test_a_usual_id_is_filled_into_a_query():
    for record_id in ("elin", "42", "siân.evans@example.org", "a-b_c"):
        assert RecordTemplate("Name = '{id}'").fill(record_id) == f"Name = '{record_id}'"
