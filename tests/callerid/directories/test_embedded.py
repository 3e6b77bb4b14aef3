"""The search in the embedded directory by a text: a reference, words of a name, a postcode."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callerid.directories.embedded import EmbeddedDirectory
from helpers.directory import import_people

PEOPLE = """reference,name,numbers,language,shared,address,postcode,notes
C-1,Elin Fictitious,01632 960001,cy,no,1 Example Street,LL57 1AA,
C-2,Owen Fictitious,01632 960002,en,no,2 Example Street,LL57 2BB,
C-4,Siôn Ŵyn,01632 960004,cy,no,4 Example Street,ZZ1 1AA,
C-5,Sion Parry,01632 960005,cy,no,5 Example Street,zz12bb,
C-3,100% Clean_Ltd,01632 960003,en,no,3 Example Street,SY23 1AA,
"""


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "directory.db"
    import_people(path, PEOPLE)
    return EmbeddedDirectory(path)


async def names(directory, text):
    return [person.name for person in await directory.search(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C-2", ["Owen Fictitious"]),
        (" C-2 ", ["Owen Fictitious"]),
        ("elin", ["Elin Fictitious"]),
        ("fictitious", ["Elin Fictitious", "Owen Fictitious"]),
        ("fict owen", ["Owen Fictitious"]),
        ("LL571", ["Elin Fictitious"]),
        ("fictitious ll57", ["Elin Fictitious", "Owen Fictitious"]),
        ("elin sy23", []),
        ("zz11aa", ["Siôn Ŵyn"]),
        ("ZZ1 1AA", ["Siôn Ŵyn"]),
        ("zz1  1a", ["Siôn Ŵyn"]),
        ("ZZ1 2BB", ["Sion Parry"]),
        ("parry ZZ1 2BB", ["Sion Parry"]),
        ("parry ZZ1 1AA", []),
        ("sion", ["Sion Parry", "Siôn Ŵyn"]),
        ("Siôn", ["Sion Parry", "Siôn Ŵyn"]),
        ("SIO\u0302N wyn", ["Siôn Ŵyn"]),
        ("ŵyn", ["Siôn Ŵyn"]),
        ("C-", []),
        ("%", ["100% Clean_Ltd"]),
        ("n_l", ["100% Clean_Ltd"]),
        ("e_i", []),
        ("!", []),
        ("' OR 1=1 --", []),
        ("   ", []),
    ],
)
async def test_a_search_finds_the_people_who_have_all_words_of_the_text(directory, text, found):
    assert await names(directory, text) == found


async def test_a_person_found_by_a_text_has_the_same_id_and_details_as_by_number(directory):
    (elin,) = await directory.search("elin")
    assert (elin.person_id, elin.numbers) == ("directory:1", ("+441632960001",))
    assert elin.detail("postcode") == "LL57 1AA"


async def test_without_an_import_no_person_is_found(tmp_path):
    assert await EmbeddedDirectory(tmp_path / "none.db").search("elin") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=100))
async def test_a_search_by_any_text_raises_no_error(directory, text):
    assert isinstance(await directory.search(text), list)
