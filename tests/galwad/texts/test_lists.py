"""The lists of texts as values: their versions, and the entries that they remember."""

from __future__ import annotations

from galwad.texts.rules import TextEntry, TextList, as_json, from_json

LUNCH = TextEntry("lunch", "Lunch", "Cinio")
TEA = TextEntry("tea", "Tea", "Te")


def test_the_version_changes_with_the_entries_their_order_and_their_origin():
    lists = [
        TextList("breaks", ()),
        TextList("breaks", (LUNCH,)),
        TextList("breaks", (LUNCH, TEA)),
        TextList("breaks", (TEA, LUNCH)),
        TextList("breaks", (TEA, LUNCH), changed=1.0),
    ]
    assert len({each.version for each in lists}) == len(lists)
    assert TextList("breaks", (LUNCH,)).version == TextList("breaks", (LUNCH,)).version


def test_a_list_remembers_each_lost_entry_once_with_the_newest_first():
    other = TextEntry("lunch", "Long lunch", "Cinio hir")
    found = TextList("breaks", (other,), former=(TEA, LUNCH)).remembering((LUNCH, other))
    assert found == (LUNCH, TEA)


def test_entries_are_stored_as_json_and_read_again():
    entries = (LUNCH, TextEntry("", 'A "quoted" text', "Tŷ â tho"))
    assert from_json(as_json(entries)) == entries
    assert "Tŷ" in as_json(entries)
