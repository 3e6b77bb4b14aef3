"""The address of a person's record, whatever id the directory gives to it."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callerid.person import Person, RecordPage

PATH = RecordPage("crm", "https://crm.example/contact/{id}/view")
QUERY = RecordPage("crm", "https://crm.example/contact?id={id}&x=1")


@pytest.mark.parametrize(
    ("person", "url"),
    [
        (Person("crm:7", "Elin"), "https://crm.example/contact/7/view"),
        (Person("ours:1", "Elin", same_as=("crm:7",)), "https://crm.example/contact/7/view"),
        (Person("crm:a:b", "Elin"), "https://crm.example/contact/a%3Ab/view"),
        (Person("ours:1", "Elin"), None),
        (Person("crm2:7", "Elin"), None),
        (Person("crm:", "Elin"), None),
        (Person("crm:..", "Elin"), None),
        (Person("crm:.", "Elin"), None),
    ],
)
def test_only_a_person_with_a_usable_record_id_in_the_directory_has_a_page(person, url):
    assert PATH.url_for(person) == url


@given(st.text(alphabet=st.characters(exclude_categories=[]), min_size=1))
@example("../../admin")
@example("javascript:alert(1)")
@example("\"'><script>")
@example("\ud800")
def test_a_record_id_changes_only_its_own_part_of_the_page_address(record_id):
    person = Person(f"crm:{record_id}", "Elin")
    path, query = PATH.url_for(person), QUERY.url_for(person)
    if not record_id.strip("."):
        assert path is query is None
        return
    assert path is not None
    assert query is not None
    known = record_id.encode(errors="replace").decode()
    parts = urlsplit(path)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == (
        *("https", "crm.example"),
        *("", ""),
    )
    assert [unquote(part) for part in parts.path.split("/")] == ["", "contact", known, "view"]
    assert parse_qsl(urlsplit(query).query, keep_blank_values=True) == [("id", known), ("x", "1")]
    assert path.isascii()
