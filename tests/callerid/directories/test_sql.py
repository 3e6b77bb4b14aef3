"""People are found in a view of a database, whatever the view has. Here the database is SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examined
from hypothesis import strategies as st
from sqlalchemy.dialects import mssql

from callerid.directories.sql import SqlDirectory, SqlDirectorySection, columns_of
from callerid.directories.sql_database import SqlAddress, SqlDatabase, select_texts
from callerid.number import PhoneNumber
from callerid.person import Person, PersonKind
from callerid.written_numbers import spellings
from net.errors import ServerError

NUMBER = PhoneNumber("+441632960001")
COLUMNS = "id, name, phone, mobile, lang, sort, many, hide, street, born"


def settings(view="people", **columns):
    """Return the settings of a directory in a view of an SQLite file with these columns."""
    known = {"id": "id", "name": "name", "numbers": ["phone"]}
    return SqlDirectorySection.model_validate(
        {
            "name": "crm",
            "kind": "sql",
            "url": "sqlite+aiosqlite:////crm.db",
            "view": view,
            "columns": {**known, **columns},
        }
    )


VIEW = settings(
    numbers=["phone", "mobile"],
    language="lang",
    kind="sort",
    shared="many",
    do_not_pop="hide",
    details={"address": "street", "date_of_birth": "born"},
)
ELIN = (7, "Siân ap Gwynn", "01632 960001", None, "Cymraeg", None, 0, None, "1 Heol Fawr", None)


@pytest.fixture
def crm(tmp_path):
    """An empty table of people in a file."""
    with closing(sqlite3.connect(tmp_path / "crm.db")) as connection:
        connection.execute(f"CREATE TABLE people ({COLUMNS})")
        connection.commit()
        yield connection


@pytest.fixture
def find(tmp_path):
    """Return a function that searches a view in this file."""

    async def find(view=VIEW, number=NUMBER):
        address = SqlAddress(f"sqlite+aiosqlite:///{tmp_path}/crm.db")
        database = SqlDatabase(address, access="read", timeout_s=20, connections=2)
        directory = SqlDirectory(view, database)
        try:
            return await directory.find(number)
        finally:
            await directory.close()

    return find


def add(crm, *rows):
    for row in rows:
        marks = ", ".join("?" * len(row))
        crm.execute(f"INSERT INTO people VALUES ({marks})", row)
    crm.commit()


async def test_a_row_becomes_a_person_with_the_values_of_its_columns(crm, find):
    add(crm, ELIN, (8, "Other", "01632 960002", "07700 900123", "", "", "", "", "", ""))
    assert await find() == [
        Person(
            "crm:7",
            "Siân ap Gwynn",
            language="cy",
            details=(("address", "1 Heol Fawr"),),
            numbers=("01632 960001",),
        )
    ]


@pytest.mark.parametrize(
    "written",
    ["+441632960001", "01632960001", "01632 960001", "(01632) 960001", "441632960001"],
)
async def test_each_column_of_numbers_is_searched_in_each_usual_spelling(crm, find, written):
    add(crm, (1, "First", written, None, "", "organisation", 1, "", "", ""))
    add(crm, (2, "Second", "07700 900123", written, "", "", "", "", "", ""))
    first, second = await find()
    assert (first.person_id, first.kind, first.shared) == ("crm:1", PersonKind.ORGANISATION, True)
    assert (second.person_id, second.numbers) == ("crm:2", ("07700 900123", written))


@pytest.mark.parametrize("hide", ["yes", "ie", 1, "?", b"\x00\x01", b"no way", 0.5, "x" * 9000])
async def test_a_do_not_pop_value_other_than_a_clear_no_hides_the_person(crm, find, hide):
    add(crm, (*ELIN[:7], hide, *ELIN[8:]))
    (person,) = await find()
    assert person.do_not_pop


@pytest.mark.parametrize("show", [None, "", "no", 0, "Na", "false"])
async def test_a_clear_no_shows_the_person(crm, find, show):
    add(crm, (*ELIN[:7], show, *ELIN[8:]))
    (person,) = await find()
    assert not person.do_not_pop


async def test_values_of_other_types_become_texts_and_a_person_without_a_name_is_left_out(
    crm, find
):
    add(crm, (1, 12.5, "01632960001", 7, 1, 1, 1, 0, b"1 Heol Fawr", 19900102))
    add(crm, (2, None, "01632960001", None, None, None, None, None, None, None))
    (person,) = await find()
    assert (person.name, person.numbers) == ("12.5", ("01632960001", "7"))
    assert person.details == (("address", "1 Heol Fawr"), ("date_of_birth", "19900102"))


async def test_a_number_that_sqlite_stores_as_an_integer_is_found(crm, find):
    crm.execute("CREATE TABLE wrong (id, name, phone INTEGER)")
    crm.execute("INSERT INTO wrong VALUES (1, 'Elin', 441632960001)")
    crm.commit()
    view = settings("wrong")
    assert [one.numbers for one in await find(view)] == [("441632960001",)]


async def test_a_huge_value_is_cut_to_2000_characters(crm, find):
    add(crm, (*ELIN[:8], "x" * 5_000_000, None))
    (person,) = await find()
    assert len(person.detail("address")) == 2000


async def test_more_than_500_people_are_an_error(crm, find):
    add(crm, *[(at, "Ann", "01632960001", *[""] * 7) for at in range(500)])
    assert len(await find()) == 500
    add(crm, (500, "Ann", "01632960001", *[""] * 7))
    with pytest.raises(ServerError, match="more than 500 people"):
        await find()


@pytest.mark.parametrize(
    "name",
    [
        'people"; DROP TABLE people; --',
        "people'; DROP TABLE people; --",
        "crm people",
        "Group",
        "100% :name",
        "%(name)s",
        "$1",
        "`[people]`",
        "pobl ŵ",
    ],
)
async def test_a_name_of_a_view_or_column_cannot_change_the_statement(crm, find, name):
    quoted = '"' + name.replace('"', '""') + '"'
    crm.execute(f"CREATE TABLE {quoted} (id, {quoted}, phone)")
    crm.execute(f"INSERT INTO {quoted} VALUES (1, 'Elin', '01632960001')")
    crm.commit()
    view = settings(name, name=name)
    (person,) = await find(view)
    assert person.name == "Elin"
    assert crm.execute("SELECT count(*) FROM people").fetchone() == (0,)


async def test_missing_columns_are_named_and_not_read_as_string_literals(crm, find):
    add(crm, ELIN)
    view = settings(name="full name", numbers=["phone", "tel"])
    with pytest.raises(ServerError) as caught:
        await find(view)
    assert str(caught.value) == 'the view lacks these columns: "full name", "tel"'


async def test_a_view_that_does_not_exist_is_an_error(crm, find):
    view = settings("nowhere")
    with pytest.raises(ServerError, match="the table, the view or a column does not exist"):
        await find(view)


@pytest.mark.parametrize("text", ["' OR '1'='1", "%", "1632960001' --", "\x00", "201; --"])
async def test_an_invalid_number_finds_no_person(crm, find, text):
    add(crm, ELIN)
    assert await find(number=PhoneNumber("", text)) == []


VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from(["01632960001", "07700 900123;ext=1", "payphone", "cy-GB", "yes"])
)


@examined(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.lists(VALUES, min_size=10, max_size=10), max_size=3))
async def test_any_row_gives_a_valid_person_or_none_or_raises_server_error(crm, find, rows):
    crm.execute("DELETE FROM people")
    add(crm, *[(*row[:2], "01632960001", *row[3:]) for row in rows])
    try:
        people = await find()
    except ServerError:
        return
    assert len(people) <= len(rows)
    for person in people:
        assert person.person_id != "crm:"
        assert person.name
        assert all(len(text.splitlines()) == 1 for _, text in person.details)


def test_the_statement_for_sql_server_has_bound_parameters_and_a_limit():
    columns = VIEW.columns
    statement = select_texts(VIEW.view, columns_of(columns), columns.numbers, spellings(NUMBER))
    compiled = statement.compile(dialect=mssql.dialect())
    text = str(compiled)
    assert text.startswith("SELECT TOP")
    assert "960001" not in text
    assert "people.phone IN (__[POSTCOMPILE_phone_1]) OR people.mobile IN" in text
