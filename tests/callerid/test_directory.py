"""The embedded directory: import of CSV files, and search by number.

Covers `callerid/sources/embedded.py` and `callerid/errors.py`.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directory import import_csv, read_csv
from callerid.errors import ImportFileError
from callerid.number import PhoneNumber
from callerid.person import PersonKind
from callerid.sources.embedded import EmbeddedDirectory

HEADER = "reference,name,numbers,language,kind,shared,do_not_pop,address\n"
ELIN = "C-1,Elin Fictitious,01632 960001|07700 900123,cy,person,no,no,1 Example Street\n"
CARE = "C-2,Fictitious Care Home,01632 960100,en,organisation,yes,no,\n"
NURSE = "C-3,Ward Nurse,01632 960100 x12,en,person,no,no,\n"


async def find(engine, number):
    return await EmbeddedDirectory(engine).find(PhoneNumber.parse(number))


async def test_a_person_is_found_by_each_of_their_numbers(engine):
    result = await import_csv(engine, HEADER + ELIN)
    assert (result.added, result.replaced, result.removed) == (1, 0, 0)
    for number in ("+441632960001", "07700 900123"):
        (person,) = await find(engine, number)
        assert person.name == "Elin Fictitious"
        assert person.language == "cy"
        assert dict(person.details) == {"reference": "C-1", "address": "1 Example Street"}


async def test_the_exact_extension_comes_before_the_main_line(engine):
    await import_csv(engine, HEADER + CARE + NURSE)
    (nurse,) = await find(engine, "01632 960100 x12")
    assert (nurse.name, nurse.main_line) == ("Ward Nurse", False)
    (home,) = await find(engine, "01632 960100")
    assert (home.kind, home.shared, home.main_line) == (PersonKind.ORGANISATION, True, False)
    both = await find(engine, "01632 960100 x99")
    assert {person.name for person in both} == {"Fictitious Care Home", "Ward Nurse"}
    assert all(person.main_line for person in both)


async def test_a_number_that_matches_only_in_part_is_not_found(engine):
    await import_csv(engine, HEADER + ELIN)
    for number in ("+441633960001", "+33163296000", "01632 960011"):
        assert await find(engine, number) == []


async def test_importing_again_replaces_by_reference_and_keeps_the_identity(engine):
    await import_csv(engine, HEADER + ELIN + CARE)
    (before,) = await find(engine, "01632 960001")
    moved = "C-1,Elin Moved,01632 960005,en,person,no,no,\n"
    result = await import_csv(engine, HEADER + moved)
    assert (result.added, result.replaced, result.removed) == (0, 1, 0)
    assert await find(engine, "01632 960001") == []
    (after,) = await find(engine, "01632 960005")
    assert (after.person_id, after.name) == (before.person_id, "Elin Moved")
    assert len(await find(engine, "01632 960100")) == 1
    result = await import_csv(engine, HEADER + moved, absent="remove")
    assert result.removed == 1
    assert await find(engine, "01632 960100") == []


async def test_a_faulty_file_changes_nothing_and_names_every_fault(engine):
    await import_csv(engine, HEADER + ELIN)
    rows = [
        "C-1,Someone Else,01632 960009,cy,person,no,no,",
        "C-4,,not a number,fr,robot,perhaps,no,",
        "C-5,Too Few,01632 960003",
        "C-1,Again,01632 960004,en,person,no,no,",
    ]
    with pytest.raises(ImportFileError) as error:
        await import_csv(engine, HEADER + "\n".join(rows), "people.csv")
    faults = [(fault.line, fault.column) for fault in error.value.faults]
    assert faults == [
        (3, "name"),
        (3, "language"),
        (3, "kind"),
        (3, "shared"),
        (3, "numbers"),
        (4, ""),
        (5, "reference"),
    ]
    assert str(error.value).startswith("people.csv:3: name: must not be empty")
    assert "not a number," not in str(error.value)
    assert [person.name for person in await find(engine, "01632 960001")] == ["Elin Fictitious"]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("reference,name\n", "numbers"),
        ("reference,name,numbers,telephone\n", "telephone"),
        ("reference,name,numbers,name\n", "name"),
        ("", "reference"),
    ],
)
def test_a_wrong_csv_header_is_a_fault_with_its_column(header, column):
    with pytest.raises(ImportFileError) as error:
        read_csv(header)
    assert (1, column) in [(fault.line, fault.column) for fault in error.value.faults]


def test_a_csv_file_with_bom_and_semicolons_is_read():
    (entry,) = read_csv("\ufeffReference;Name;Numbers\r\nC-1;Elin, Mrs;01632 960001\r\n")
    assert entry.values["name"] == "Elin, Mrs"


def test_an_open_quote_is_a_fault_with_its_line():
    with pytest.raises(ImportFileError) as error:
        read_csv('reference,name,numbers\nC-1,"Elin,01632 960001\n')
    assert "cannot be read as CSV" in str(error.value)


@given(st.text(max_size=300))
def test_any_text_is_read_or_raises_import_file_error(text):
    for head in ("", HEADER):
        with contextlib.suppress(ImportFileError):
            read_csv(head + text)


async def test_many_hidden_people_do_not_displace_a_visible_one(engine):
    rows = [f"H-{n},Hidden {n:02},01632 960200,en,person,no,yes,\n" for n in range(50)]
    visible = "V-1,Visible Person,01632 960200,en,person,no,no,\n"
    await import_csv(engine, HEADER + "".join(rows) + visible)
    (person,) = await find(engine, "01632 960200")
    assert person.name == "Visible Person"
