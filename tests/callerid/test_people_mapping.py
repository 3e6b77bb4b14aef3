"""People in the answers of real servers, and in answers that are wrong in every way."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.errors import TemplateError
from callerid.people_mapping import PeopleFields, PeopleMapping, apply, compiled
from callerid.person import Person, PersonKind
from callerid.written_numbers import LONGEST, read_numbers
from net.errors import ServerError
from net.json_client import Json

NO_LIST = 'the answer has no list where "people" points'
TOO_MANY = "the answer has more than 500 people"
DOES_NOT_FIT = "the answer does not fit the mapping: "


def mapping(details=None, **expressions):
    """Return a mapping by expressions; those that are not given suit the plainest document."""
    plain = {"id": "id", "name": "name", "numbers": "numbers", "details": details or {}}
    people = expressions.pop("people", "people")
    return PeopleMapping(people, PeopleFields.model_validate(plain | expressions))


def read_one(item, **expressions):
    """Return the only person of a document that has this item."""
    whole = {"id": 7, "name": "Elin Jones", **item}
    (person,) = mapping(**expressions).read({"people": [whole]}, "crm")
    return person


REQUEST_TRACKER = {
    "count": 2,
    "page": 1,
    "pages": 1,
    "per_page": 20,
    "total": 2,
    "items": [
        {
            "_url": "https://rt.example.org/REST/2.0/user/elin",
            "type": "user",
            "id": "elin",
            "RealName": "Elin Jones",
            "EmailAddress": "elin@example.org",
            "HomePhone": "01632 960001",
            "MobilePhone": "07700 900123",
            "WorkPhone": "",
            "Lang": "cy",
            "CustomFields": [
                {"id": "3", "type": "customfield", "name": "Notes", "values": ["hard of hearing"]},
                {"id": "4", "type": "customfield", "name": "Do not pop", "values": ["Yes"]},
            ],
        },
        {
            "_url": "https://rt.example.org/REST/2.0/user/14",
            "type": "user",
            "id": "14",
            "RealName": "Owain Rees",
            "EmailAddress": "",
            "HomePhone": "01632 960001 (Mam)",
            "CustomFields": [
                {"id": "3", "type": "customfield", "name": "Notes", "values": []},
                {"id": "4", "type": "customfield", "name": "Do not pop", "values": []},
            ],
        },
    ],
}


def test_the_users_of_request_tracker_are_read():
    rt = mapping(
        people="items",
        name="RealName",
        numbers="[HomePhone, MobilePhone, WorkPhone]",
        language="Lang",
        do_not_pop="CustomFields[?name=='Do not pop'].values[] | [0]",
        details={
            "email": "EmailAddress",
            "notes": "CustomFields[?name=='Notes'].values[] | [0]",
        },
    )
    assert rt.read(REQUEST_TRACKER, "rt") == [
        Person(
            "rt:elin",
            "Elin Jones",
            language="cy",
            do_not_pop=True,
            details=(("email", "elin@example.org"), ("notes", "hard of hearing")),
            numbers=("01632 960001", "07700 900123"),
        ),
        Person("rt:14", "Owain Rees", numbers=("01632 960001 (Mam)",)),
    ]


HUBSPOT = {
    "total": 2,
    "results": [
        {
            "id": "512",
            "properties": {
                "createdate": "2024-03-01T09:30:00.000Z",
                "firstname": "Elin",
                "lastname": "Jones",
                "phone": "+441632960001",
                "mobilephone": None,
                "hs_language": "cy-gb",
                "hs_object_id": "512",
                "lifecyclestage": "customer",
            },
            "createdAt": "2024-03-01T09:30:00.000Z",
            "updatedAt": "2024-05-01T09:30:00.000Z",
            "archived": False,
        },
        {
            "id": "513",
            "properties": {
                "createdate": "2024-03-02T09:30:00.000Z",
                "firstname": None,
                "lastname": "Rees",
                "phone": None,
                "mobilephone": "07700 900123",
                "hs_object_id": "513",
            },
            "createdAt": "2024-03-02T09:30:00.000Z",
            "updatedAt": "2024-05-01T09:30:00.000Z",
            "archived": False,
        },
    ],
    "paging": {"next": {"after": "2"}},
}


def test_the_contacts_of_hubspot_are_read():
    hubspot = mapping(
        people="results",
        name="join(' ', [properties.firstname, properties.lastname][?@])",
        numbers="properties.[phone, mobilephone]",
        language="properties.hs_language",
        do_not_pop="archived",
        details={"stage": "properties.lifecyclestage"},
    )
    assert hubspot.read(HUBSPOT, "hubspot") == [
        Person(
            "hubspot:512",
            "Elin Jones",
            language="cy",
            details=(("stage", "customer"),),
            numbers=("+441632960001",),
        ),
        Person("hubspot:513", "Rees", numbers=("07700 900123",)),
    ]


ZENDESK = {
    "users": [
        {
            "id": 35436,
            "url": "https://council.zendesk.example/api/v2/users/35436.json",
            "name": "Elin Jones",
            "email": "elin@example.org",
            "phone": "+441632960001",
            "shared_phone_number": True,
            "locale": "cy",
            "role": "end-user",
            "organization_id": None,
            "tags": ["housing"],
            "user_fields": {"do_not_pop": False, "case": 98.0, "kind": None},
        },
        {
            "id": 9873843,
            "url": "https://council.zendesk.example/api/v2/users/9873843.json",
            "name": "Aberwiber Housing",
            "email": None,
            "phone": "+441632960001",
            "shared_phone_number": False,
            "locale": "en-GB",
            "role": "end-user",
            "organization_id": 57542,
            "tags": [],
            "user_fields": {"do_not_pop": True, "case": None, "kind": "Organisation"},
        },
    ],
    "next_page": None,
    "previous_page": None,
    "count": 2,
}


def test_the_users_of_zendesk_are_read():
    zendesk = mapping(
        people="users",
        numbers="phone",
        language="locale",
        kind="user_fields.kind",
        shared="shared_phone_number",
        do_not_pop="user_fields.do_not_pop",
        details={"email": "email", "organisation": "organization_id", "tag": "tags[0]"},
    )
    assert zendesk.read(ZENDESK, "zendesk") == [
        Person(
            "zendesk:35436",
            "Elin Jones",
            language="cy",
            shared=True,
            details=(("email", "elin@example.org"), ("tag", "housing")),
            numbers=("+441632960001",),
        ),
        Person(
            "zendesk:9873843",
            "Aberwiber Housing",
            language="en",
            kind=PersonKind.ORGANISATION,
            do_not_pop=True,
            details=(("organisation", "57542"),),
            numbers=("+441632960001",),
        ),
    ]


def test_a_document_that_is_a_list_of_people_is_read():
    document = [
        {"id": 1, "name": "Elin Jones", "telephone": "01632 960001 / 07700 900123"},
        {"id": 2, "name": "Owain Rees", "telephone": "01632 960001"},
    ]
    found = mapping(people="@", numbers="telephone").read(document, "housing")
    assert found == [
        Person("housing:1", "Elin Jones", numbers=("01632 960001 / 07700 900123",)),
        Person("housing:2", "Owain Rees", numbers=("01632 960001",)),
    ]


def test_a_document_that_is_one_person_is_read():
    document = {"id": 1, "name": "Elin Jones", "numbers": ["01632 960001"]}
    found = mapping(people="[@]").read(document, "crm")
    assert found == [Person("crm:1", "Elin Jones", numbers=("01632 960001",))]


@pytest.mark.parametrize("document", [None, {"people": []}])
def test_a_null_document_or_an_empty_list_gives_no_people(document):
    assert mapping().read(document, "crm") == []


@pytest.mark.parametrize("document", [{}, {"people": None}, {"error": "no right"}, []])
def test_a_document_without_a_list_of_people_is_an_error(document):
    with pytest.raises(ServerError, match="has no list"):
        mapping().read(document, "crm")


def test_people_keep_the_order_of_the_document():
    people = [{"id": at, "name": f"Person {at}"} for at in (3, 1, 2)]
    found = mapping().read({"people": people}, "crm")
    assert [person.person_id for person in found] == ["crm:3", "crm:1", "crm:2"]


@pytest.mark.parametrize(
    "people", ["Elin", "", 5, 0, 1.5, True, False, {}, {"id": 1, "name": "Elin"}]
)
def test_people_that_are_not_a_list_are_an_error(people):
    with pytest.raises(ServerError) as error:
        mapping().read({"people": people}, "crm")
    assert str(error.value) == NO_LIST


def test_five_hundred_people_are_read_and_one_more_is_an_error():
    people = [{"id": at, "name": "Elin"} for at in range(500)]
    assert len(mapping().read({"people": people}, "crm")) == 500
    for extra in ({"id": 500, "name": "Elin"}, None):
        with pytest.raises(ServerError) as error:
            mapping().read({"people": [*people, extra]}, "crm")
        assert str(error.value) == TOO_MANY


@pytest.mark.parametrize(
    "item",
    [
        None,
        "Elin",
        5,
        True,
        [],
        [{"id": 1, "name": "Elin"}],
        {},
        {"id": 1},
        {"name": "Elin"},
        {"id": None, "name": "Elin"},
        {"id": "", "name": "Elin"},
        {"id": " \n", "name": "Elin"},
        {"id": [1], "name": "Elin"},
        {"id": {"id": 1}, "name": "Elin"},
        {"id": 1, "name": None},
        {"id": 1, "name": ""},
        {"id": 1, "name": "\u00a0\t\u2028"},
        {"id": 1, "name": ["Elin"]},
        {"id": 1, "name": {"first": "Elin"}},
    ],
)
def test_a_person_without_an_id_or_a_name_is_left_out_and_other_people_are_kept(item):
    other = {"id": 2, "name": "Owain"}
    found = mapping().read({"people": [item, other]}, "crm")
    assert found == [Person("crm:2", "Owain")]


@pytest.mark.parametrize(
    ("record_id", "person_id"),
    [(7, "crm:7"), (0, "crm:0"), (-1, "crm:-1"), ("0", "crm:0"), ("a b:c", "crm:a b:c")],
)
def test_the_id_of_a_person_begins_with_the_name_of_the_directory(record_id, person_id):
    person = read_one({"id": record_id})
    assert person.person_id == person_id
    assert person.directory == "crm"


def test_line_breaks_in_texts_become_spaces():
    person = read_one(
        {"id": " 7\r\n", "name": "  Elin\n\tJones\u2028", "note": "deaf\n\nin one\u0085ear"},
        details={"notes": "note"},
    )
    assert (person.person_id, person.name) == ("crm:7", "Elin Jones")
    assert person.detail("notes") == "deaf in one ear"


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("01632 960001", ("01632 960001",)),
        (" 01632  960001 ", ("01632  960001",)),
        (["01632 960001", "07700 900123"], ("01632 960001", "07700 900123")),
        (["01632 960001", None, "", " ", [], {}, "07700 900123"], ("01632 960001", "07700 900123")),
        (441632960001, ("441632960001",)),
        ([441632960001], ("441632960001",)),
        (["no telephone"], ("no telephone",)),
        ([["01632 960001"]], ()),
        ({"home": "01632 960001"}, ()),
        ("", ()),
        ([], ()),
        (None, ()),
    ],
)
def test_numbers_are_read_from_a_text_an_integer_or_a_list_of_them(value, numbers):
    assert read_one({"numbers": value}).numbers == numbers
    if value is None:
        assert read_one({}).numbers == ()


def test_numbers_in_objects_are_found_by_an_expression():
    item = {"phones": [{"type": "home", "number": "01632 960001"}, {"type": "fax"}, "?"]}
    assert read_one(item, numbers="phones[].number").numbers == ("01632 960001",)


def test_at_most_fifty_numbers_of_a_person_are_read():
    numbers = [f"01632 960{last:03}" for last in range(60)]
    assert read_one({"numbers": numbers}).numbers == tuple(numbers[:50])


def test_a_text_of_numbers_that_is_too_long_is_left_out_and_other_texts_are_read():
    long = "0" * LONGEST
    found = read_one({"numbers": [long + "0", long, "01632 960001"]}).numbers
    assert found == (long, "01632 960001")


@pytest.mark.parametrize(
    ("value", "language"),
    [
        ("cy", "cy"),
        ("CY", "cy"),
        (" cy ", "cy"),
        ("cy-GB", "cy"),
        ("Welsh", "cy"),
        ("Cymraeg", "cy"),
        ("en", "en"),
        ("en-US", "en"),
        ("English", "en"),
        ("pl", ""),
        ("cyan", ""),
        ("-", ""),
        ("", ""),
        (None, ""),
        (5, ""),
        (True, ""),
        (["cy"], ""),
        ({"code": "cy"}, ""),
    ],
)
def test_the_language_is_welsh_or_english_or_unknown(value, language):
    assert read_one({"lang": value}, language="lang").language == language


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("organisation", PersonKind.ORGANISATION),
        ("Organisation", PersonKind.ORGANISATION),
        ("PAYPHONE ", PersonKind.PAYPHONE),
        ("person", PersonKind.PERSON),
        ("robot", PersonKind.PERSON),
        ("", PersonKind.PERSON),
        (None, PersonKind.PERSON),
        (1, PersonKind.PERSON),
        (["payphone"], PersonKind.PERSON),
    ],
)
def test_an_unknown_kind_is_read_as_a_person(value, kind):
    assert read_one({"kind": value}, kind="kind").kind is kind


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (True, True),
        (1, True),
        ("true", True),
        ("True", True),
        (" YES ", True),
        ("y", True),
        ("1", True),
        ("Ie", True),
        ("ydy", True),
        (False, False),
        (0, False),
        ("false", False),
        ("no", False),
        ("0", False),
        ("na", False),
        ("", False),
        (None, False),
    ],
)
def test_true_and_false_are_read_in_each_usual_notation(value, answer):
    person = read_one({"flag": value}, shared="flag", do_not_pop="flag")
    assert person.shared is answer
    assert person.do_not_pop is answer


def test_a_field_that_the_mapping_does_not_name_has_its_default():
    item = {"language": "cy", "kind": "payphone", "shared": True, "do_not_pop": True, "email": "e"}
    assert read_one(item) == Person("crm:7", "Elin Jones")


@pytest.mark.parametrize(
    ("value", "text"),
    [("C-77", "C-77"), (5, "5"), (2.5, "2.5"), (True, "true"), (False, "false"), (0, "0")],
)
def test_a_detail_is_a_text_a_number_or_a_truth_value(value, text):
    person = read_one({"ref": value}, details={"reference": "ref"})
    assert person.details == (("reference", text),)


@pytest.mark.parametrize("value", [None, "", " ", [], ["C-77"], {}, {"ref": "C-77"}])
def test_a_detail_that_is_not_a_text_is_left_out(value):
    details = {"first": "ref", "second": "name"}
    assert read_one({"ref": value}, details=details).details == (("second", "Elin Jones"),)


def test_huge_texts_are_cut_to_2000_characters():
    huge = "x" * 1_000_000
    person = read_one({"name": huge, "note": huge}, details={"notes": "note"})
    assert person.name == person.detail("notes") == "x" * 2000
    words = read_one({"name": "Elin  \n" * 100_000}).name
    assert words.startswith("Elin Elin Elin")
    assert len(words) == 1999  # the space at the cut is left out


def test_a_person_with_an_id_of_more_than_200_characters_is_left_out():
    people = [{"id": "x" * length, "name": "Elin"} for length in (200, 201)]
    found = mapping().read({"people": people}, "crm")
    assert [person.person_id for person in found] == ["crm:" + "x" * 200]


@pytest.mark.parametrize("between", ["\n", "\r\n", "\t"])
def test_numbers_on_several_lines_stay_several_numbers(between):
    person = read_one({"numbers": f"01632 960001{between}07700 900123"})
    read = [each.e164 for text in person.numbers for each in read_numbers(text).numbers]
    assert read == ["+441632960001", "+447700900123"]


@pytest.mark.parametrize(
    "value",
    [True, 1, 1.0, "1.0", "on", "Yes", "t", "\0", "\u200b", ["yes"], [False], {"value": "yes"}],
)
def test_a_do_not_pop_value_other_than_a_clear_no_hides_a_person(value):
    assert read_one({"hidden": value}, do_not_pop="hidden").do_not_pop


@pytest.mark.parametrize("value", [None, False, 0, "", "no", "N", "false", "nac ydy", [], {}])
def test_a_clear_no_hides_no_person(value):
    assert not read_one({"hidden": value}, do_not_pop="hidden").do_not_pop


@pytest.mark.parametrize("invisible", ["\ud800", "\u202e", "\u200b", "\x00", "\x1b", "\ufdd0"])
def test_invisible_characters_are_left_out(invisible):
    person = read_one({"id": f"7{invisible}", "name": f"El{invisible}in"})
    assert (person.person_id, person.name) == ("crm:7", "Elin")
    assert mapping().read({"people": [{"id": 7, "name": invisible}]}, "crm") == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [("floor(x)", "1e400"), ("ceil(x)", "-1e400"), ("avg(x)", f"[1{'0' * 400}, 1]")],
)
def test_an_expression_whose_number_overflows_is_an_error(expression, value):
    document = json.loads(f'{{"people": [{{"name": "Elin", "x": {value}}}]}}')
    with pytest.raises(ServerError):
        mapping(id=expression).read(document, "crm")


def test_a_person_whose_id_is_infinite_or_has_thousands_of_digits_is_left_out():
    for value in ("1e400", "9" * 4000):
        document = json.loads(f'{{"people": [{{"id": {value}, "name": "Elin"}}]}}')
        assert mapping().read(document, "crm") == []
    long = json.loads(f'{{"people": [{{"name": "Elin", "x": [{"9" * 4300}, {"9" * 4300}]}}]}}')
    assert mapping(id="sum(x)").read(long, "crm") == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("lenght(name)", "calls an unknown function: lenght"),
        ("people[?starts_with(lower(name), 'E')]", "calls an unknown function: lower"),
        ("(" * 3000 + "a" + ")" * 3000, "is not a JMESPath expression"),
        ("!" * 5000 + "a", "is not a JMESPath expression"),
        ("a[" + "9" * 5000 + "]", "is not a JMESPath expression"),
    ],
    ids=["function", "inner function", "brackets", "nots", "index"],
)
def test_an_expression_with_an_unknown_function_or_that_cannot_be_parsed_is_refused(
    expression, fault
):
    with pytest.raises(TemplateError) as caught:
        compiled(expression)
    assert str(caught.value) == fault


def nested(depth, inner, *, as_list):
    for _ in range(depth):
        inner = [inner] if as_list else {"people": inner}
    return inner


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize("where", ["id", "name", "numbers", "lang", "ref"])
def test_a_deeply_nested_value_does_not_count_as_a_text(where, as_list):
    expressions = {"language": "lang", "details": {"reference": "ref"}}
    item = {"id": 7, "name": "Elin", where: nested(50_000, "x", as_list=as_list)}
    found = mapping(**expressions).read({"people": [item]}, "crm")
    assert found == ([] if where in {"id", "name"} else [Person("crm:7", "Elin")])


@pytest.mark.parametrize("expression", ["to_string(deep)", "deep == `{}`.deep || to_string(deep)"])
def test_an_expression_that_descends_too_deeply_is_an_error(expression):
    item = {"id": 7, "name": "Elin", "deep": nested(50_000, "x", as_list=True)}
    with pytest.raises(ServerError) as error:
        mapping(name=expression).read({"people": [item]}, "crm")
    assert str(error.value) == f"{DOES_NOT_FIT}RecursionError"


@pytest.mark.parametrize(
    ("expression", "item"),
    [
        ("join(' ', name)", {"name": "Elin 01632 960001"}),
        ("join(' ', name)", {"name": ["Elin", 1632]}),
        ("join(' ', name)", {}),
        ("length(name)", {"name": 1632}),
        ("sort(name)[0]", {"name": [{"a": "Elin"}]}),
        ("max_by(name, &a).a", {"name": [{"a": "Elin"}, {"a": 1632}]}),
        ("max_by(name, &a).a", {"name": ["Elin"]}),
        ("sum(name)", {"name": ["Elin"]}),
        ("contains(name, `1632`)", {"name": "Elin"}),
        ("starts_with(name, 'E')", {"name": None}),
        ("keys(name)[0]", {"name": ["Elin"]}),
        ("name[::0]", {"name": ["Elin"]}),
    ],
)
@pytest.mark.parametrize("where", ["name", "id", "numbers", "language", "shared", "details"])
def test_an_expression_that_does_not_fit_the_answer_is_an_error_without_its_data(
    where, expression, item
):
    expressions = {where: {"x": expression} if where == "details" else expression}
    plain = {"id": "`7`", "name": "'Somebody'"}
    with pytest.raises(ServerError) as error:
        mapping(**(plain | expressions)).read({"people": [item]}, "crm")
    assert re.fullmatch(f"{DOES_NOT_FIT}[A-Za-z]+", str(error.value))
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("next", "/page/2"),
        ("links[?rel=='next'].href | [0]", "/page/3"),
        ("missing.entirely", None),
        ("next.deeper", None),
        ("links[5]", None),
    ],
)
def test_an_expression_returns_a_part_of_the_document_or_none(expression, part):
    document: Json = {"next": "/page/2", "links": [{"rel": "next", "href": "/page/3"}]}
    assert apply(compiled(expression), document) == part


@pytest.mark.parametrize(
    "expression", ["", " ", "a b", "a.", ".a", "a[", "a]", "[?a", "'", '"', "`", "a[1:2:3:4]", "\0"]
)
def test_a_text_that_is_not_an_expression_is_refused(expression):
    with pytest.raises(TemplateError) as error:
        compiled(expression)
    assert str(error.value) == "is not a JMESPath expression"


@pytest.mark.filterwarnings("ignore:deprecated string literal syntax")
@given(st.text(max_size=40) | st.text("ab.[]{}()*?@&|!<=>'\"`0:,-#", max_size=20))
def test_any_short_text_is_an_expression_or_refused(text):
    with contextlib.suppress(TemplateError):
        path = compiled(text)
        with contextlib.suppress(ServerError):
            apply(path, {"a": [{"b": "text"}, None], "b": {"a": 1}})


OPTIONAL = ("first", "numbers", "phones", "lang", "kind", "shared", "hidden", "ref", "fields")
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.sampled_from(["Elin", "01632 960001", "cy-GB", "yes", "payphone", "x" * 3000, "7\n7"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["people", "id", "name", "number", "values", "", *OPTIONAL]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {"id": st.text(max_size=5) | DOCUMENTS, "name": st.text(max_size=9) | DOCUMENTS},
        optional=dict.fromkeys(OPTIONAL, DOCUMENTS),
    )
    | DOCUMENTS,
    max_size=3,
)
PLAIN = mapping(
    numbers="[numbers, phones[].number][] | [?@]",
    language="lang",
    kind="kind",
    shared="shared",
    do_not_pop="hidden",
    details={"reference": "ref", "notes": "fields[?name=='notes'].values[] | [0]"},
)
WITH_FUNCTIONS = mapping(
    people="people || values(@)",
    name="join(' ', [first, last, name][?@])",
    numbers="sort_by(phones, &number)[*].number || to_array(numbers)",
    language="max(lang)",
    kind="kind || keys(fields)[0]",
    shared="length(numbers) > `1`",
    do_not_pop="contains(hidden, 'yes')",
    details={"reference": "to_string(ref)", "notes": "merge(fields, {a: id}).a", "x": "abs(id)"},
)


@pytest.mark.parametrize("people", [PLAIN, WITH_FUNCTIONS], ids=["plain", "functions"])
@given(document=DOCUMENTS | st.fixed_dictionaries({"people": PEOPLE}))
def test_any_document_gives_people_within_the_limits_or_an_error_without_data(people, document):
    try:
        found = people.read(document, "crm")
    except ServerError as error:
        message = str(error)
        assert message == NO_LIST or re.fullmatch(f"{DOES_NOT_FIT}[A-Za-z]+", message)
        return
    for person in found:
        assert person.person_id.startswith("crm:")
        assert len("crm:") < len(person.person_id) <= len("crm:") + 2000
        assert 0 < len(person.name) <= 2000
        assert person.language in {"", "cy", "en"}
        assert len(person.numbers) <= 50
        assert all(0 < len(number) <= LONGEST for number in person.numbers)
        assert all(0 < len(text) <= 2000 for _, text in person.details)
        texts = (person.person_id, person.name, *dict(person.details).values())
        assert all(len(text.splitlines()) == 1 for text in texts)


VISIBLE = st.characters(exclude_categories=["C"])


@given(
    st.lists(
        st.tuples(st.text(VISIBLE, max_size=5), st.text(VISIBLE, max_size=9), DOCUMENTS),
        max_size=5,
    )
)
def test_every_item_with_an_id_and_a_name_is_a_person_whatever_else_it_has(items):
    people = [
        dict.fromkeys(OPTIONAL, other) | {"id": record_id, "name": name}
        for record_id, name, other in items
    ]
    found = PLAIN.read({"people": people}, "crm")
    assert [(person.person_id, person.name) for person in found] == [
        (f"crm:{' '.join(record_id.split())}", " ".join(name.split()))
        for record_id, name, _ in items
        if record_id.split() and name.split()
    ]
