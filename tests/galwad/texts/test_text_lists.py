"""The owner of the lists of texts: changes, their audit entries, and what a restart keeps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from galwad.texts.rules import LIST_NAMES, Entries, ListName, TextEntry
from galwad.texts.store import TextStore
from galwad.texts.text_lists import ListChangedError, ListFaultError, TextLists

LUNCH = TextEntry("lunch", "Lunch", "Cinio")
TEA = TextEntry("tea", "Tea", "Te")
BINS = TextEntry("waste-1", "Missed collection", "Casgliad a fethwyd")
TAX = TextEntry("Tax", "Tax", "Treth")
TEST = TextEntry("test", "Test call", "Galwad brawf")
INITIAL: dict[ListName, Entries] = {
    "lines": (TAX,),
    "purposes": (BINS,),
    "breaks": (LUNCH,),
    "no_note_reasons": (TEST,),
    "teams": (),
}
GWEN = {"actor": "user:gwen", "user": "gwen"}


@dataclass
class Made:
    """Lists, and what they have reported."""

    lists: TextLists
    audit: list = field(default_factory=list)
    changes: list = field(default_factory=list)


@pytest.fixture
def make(engine):
    """Return a function that makes the lists of a desk, as after a restart."""

    async def make(*, free_text=True, **initial):
        made = Made(None)  # type: ignore[arg-type] # it is set below

        async def append(kind, facts, personal):
            made.audit.append((kind, facts, personal))

        settings: dict[ListName, Entries] = {**INITIAL}
        for name in LIST_NAMES:
            settings[name] = initial.get(name, INITIAL[name])
        made.lists = TextLists(
            TextStore(engine),
            settings,
            append,
            lambda: made.changes.append(1),
            free_text=free_text,
            clock=lambda: 1_800_000_000.0,
        )
        await made.lists.start()
        return made

    return make


async def change(made, name, *entries):
    version = made.lists.get(name).version
    return await made.lists.change(name, entries, based_on=version, **GWEN)


async def test_a_changed_list_is_in_force_and_audited_and_survives_a_restart(make):
    made = await make()
    changed = await change(made, "breaks", TEA, LUNCH)
    assert (changed.entries, changed.changed, changed.changed_by) == (
        (TEA, LUNCH),
        1_800_000_000.0,
        "gwen",
    )
    facts = {"list": "breaks", "entries": 2}
    assert made.audit == [("texts.changed", facts, {"actor": "user:gwen"})]
    assert made.changes == [1]
    again = (await make(breaks=(LUNCH, TextEntry("nap", "Nap", "Cyntun")))).lists
    assert again.get("breaks") == changed


async def test_after_a_reset_the_list_of_the_settings_is_in_force_again(make):
    made = await make()
    await change(made, "breaks", TEA)
    version = made.lists.get("breaks").version
    found = await made.lists.reset("breaks", based_on=version, **GWEN)
    assert (found.entries, found.changed, found.former) == ((LUNCH,), 0.0, (TEA,))
    assert made.audit[-1] == ("texts.reset", {"list": "breaks"}, {"actor": "user:gwen"})
    assert (await make()).lists.get("breaks") == found


async def test_a_change_that_is_based_on_an_older_list_is_refused(make):
    made = await make()
    version = made.lists.get("breaks").version
    results = await asyncio.gather(
        *(
            made.lists.change("breaks", (each,), based_on=version, **GWEN)
            for each in (TEA, TextEntry("nap", "Nap", "Cyntun"))
        ),
        return_exceptions=True,
    )
    assert isinstance(results[1], ListChangedError)
    assert made.lists.get("breaks").entries == (TEA,)
    assert len(made.audit) == 1
    with pytest.raises(ListChangedError):
        await made.lists.reset("breaks", based_on=version, **GWEN)


async def test_a_list_with_a_fault_is_refused_before_anything_is_written(make):
    made = await make(free_text=False)
    for name, entries, kind in (
        ("breaks", (LUNCH, LUNCH), "same_code"),
        ("lines", (TAX, TEA), "codes_fixed"),
        ("no_note_reasons", (), "codes_fixed"),
        ("purposes", (), "no_purpose"),
    ):
        with pytest.raises(ListFaultError) as error:
            await change(made, name, *entries)
        assert error.value.fault.kind == kind
    assert (made.audit, made.changes) == ([], [])


async def test_nothing_changes_if_the_audit_entry_cannot_be_written(engine, make):
    made = await make()

    async def fail(*_):
        raise OSError("the disk is full")

    made.lists._append = fail
    with pytest.raises(OSError, match="full"):
        await change(made, "breaks", TEA)
    assert made.lists.get("breaks").entries == (LUNCH,)
    assert await TextStore(engine).all() == {}


async def test_a_removed_or_renamed_purpose_keeps_its_code_for_notes_that_have_it(make):
    made = await make()
    await change(made, "purposes", TextEntry("waste-2", "Missed bins", "Biniau a fethwyd"))
    await change(made, "purposes", TextEntry("tax-1", "Tax", "Treth"))
    lists = (await make(purposes=())).lists
    for text, code in (
        ("Treth", "tax-1"),
        ("Missed bins", "waste-2"),
        ("Casgliad a fethwyd", "waste-1"),
        ("Other", ""),
    ):
        assert lists.purpose_code(text) == code
    assert lists.accepts_purpose("Missed bins")


async def test_only_listed_purposes_are_accepted_if_the_settings_say_so(make):
    made = await make(free_text=False)
    assert made.lists.accepts_purpose("Casgliad a fethwyd")
    await change(made, "purposes", TextEntry("tax-1", "Tax", "Treth"))
    assert made.lists.accepts_purpose("Treth")
    assert not made.lists.accepts_purpose("Casgliad a fethwyd")


async def test_an_empty_list_of_purposes_is_ignored_if_the_settings_allow_no_others(make):
    await change(await make(), "purposes")
    assert (await make()).lists.get("purposes").entries == ()
    closed = (await make(free_text=False)).lists
    assert closed.get("purposes").entries == (BINS,)
    assert closed.accepts_purpose("Missed collection")


async def test_the_words_of_a_reason_for_no_note_are_empty_until_they_are_changed(make):
    made = await make()
    assert made.lists.no_note_words("test") == ""
    await change(made, "no_note_reasons", TextEntry("test", "Only a test", "Prawf yn unig"))
    assert made.lists.no_note_words("test") == "Only a test"
    assert made.lists.no_note_words("not_written") == ""


async def test_a_line_that_is_new_in_the_settings_is_listed_with_its_name_from_the_settings(make):
    made = await make()
    renamed = TextEntry("Tax", "Council Tax", "Treth Gyngor")
    await change(made, "lines", renamed)
    housing = TextEntry("Housing", "Housing", "")
    assert (await make(lines=(housing, TAX))).lists.get("lines").entries == (housing, renamed)
    assert (await make(lines=(housing,))).lists.get("lines").entries == (housing,)
