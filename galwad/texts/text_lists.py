"""The lists of texts that are in force now, and their changes by administrators."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TypeAlias, get_args

from pydantic import BaseModel

from callerid.note import NoNoteReason
from galwad.settings.desk import ContactNotesSection, PresenceSection
from galwad.settings.switch import Route
from galwad.texts.rules import (
    FIXED,
    LIST_NAMES,
    RULES,
    Entries,
    ListName,
    TextEntry,
    TextFault,
    TextList,
)
from galwad.texts.store import StoredTexts, TextStore
from recording.audit.log import Facts

Append: TypeAlias = Callable[[str, Facts, Mapping[str, str]], Awaitable[object]]


class TwoTexts(BaseModel):
    """A text in English and in Welsh. The Welsh name of a line may be missing ("")."""

    en: str
    cy: str


class PageTexts(BaseModel):
    """The lists of texts as the pages need them, sent in the snapshot and after each change.

    `line_names` has the names of lines, by their names in the settings. A line that is missing
    there is shown by its name in the settings, in both languages. `break_reasons` are the reasons
    that can be chosen. `former_reasons` are removed reasons whose code a break may still have.
    `no_note_reasons` is empty until an administrator changes the list. Until then, the page uses
    its own words. `purposes` are the purposes that advisors can choose. If `free_text` is true,
    advisors may write other purposes. `teams` are the teams to which users can belong.
    """

    line_names: dict[str, TwoTexts]
    break_reasons: list[TextEntry]
    former_reasons: list[TextEntry]
    no_note_reasons: list[TextEntry]
    purposes: list[TwoTexts]
    free_text: bool
    teams: list[TextEntry]


class TextListError(Exception):
    """A list of texts cannot be changed in this way. The list stays as it is."""


class ListChangedError(TextListError):
    """The list is not the one on which the change is based."""


class ListFaultError(TextListError):
    """The new list breaks a rule, which `fault` names."""

    def __init__(self, fault: TextFault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


class TextLists:
    """Knows each list of texts that is in force now, and lets administrators change it.

    `append` writes an audit entry. `on_changed` is called after each change. With `free_text`,
    contact notes may have purposes that are not in the list.
    """

    def __init__(
        self,
        store: TextStore,
        initial: Mapping[ListName, Entries],
        append: Append,
        on_changed: Callable[[], None],
        *,
        free_text: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._initial = initial
        self._append = append
        self._on_changed = on_changed
        self._clock = clock
        self.free_text = free_text
        self._lists = {name: TextList(name, initial[name]) for name in LIST_NAMES}
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Read the lists that administrators have changed before the desk's start."""
        stored = await self._store.all()
        for name in LIST_NAMES:
            if name in stored:
                self._lists[name] = self._counting(name, stored[name])

    def get(self, name: ListName) -> TextList:
        """Return the list with this name that is in force now."""
        return self._lists[name]

    async def change(
        self, name: ListName, entries: Entries, *, based_on: str, actor: str, user: str
    ) -> TextList:
        """Write an audit entry, then replace the entries of a list; return the changed list.

        `based_on` is the version that `user` saw. `actor` names the user in the audit, such as
        `user:gwen`.

        Raises:
            ListChangedError: The list was changed meanwhile.
            ListFaultError: The entries break a rule of the list.
            AuditError: The audit entry cannot be written. The list stays as it is.
        """
        async with self._one_at_a_time:
            self._check_version(name, based_on)
            self._check(name, entries)
            facts: Facts = {"list": name, "entries": len(entries)}
            await self._append("texts.changed", facts, {"actor": actor})
            return await self._replace(name, entries, user)

    async def reset(self, name: ListName, *, based_on: str, actor: str, user: str) -> TextList:
        """Put the first list in force again, and return it. The errors are those of `change`."""
        async with self._one_at_a_time:
            self._check_version(name, based_on)
            await self._append("texts.reset", {"list": name}, {"actor": actor})
            return await self._replace(name, None, user)

    def accepts_purpose(self, text: str) -> bool:
        """Return whether a contact note may have this purpose."""
        purposes = self._lists["purposes"].entries
        return self.free_text or any(text in {each.en, each.cy} for each in purposes)

    def purpose_in_both(self, text: str) -> tuple[str, ...]:
        """Return a purpose and its translation, if the list has it, or had it before."""
        listed = self._lists["purposes"]
        known = (*listed.entries, *listed.former)
        sought = text.casefold()
        pairs = (
            (each.en, each.cy)
            for each in known
            if sought in {each.en.casefold(), each.cy.casefold()}
        )
        return next(pairs, (text,) if text else ())

    def purpose_code(self, text: str) -> str:
        """Return the CRM's code of a present or former purpose; "" without a code."""
        listed = self._lists["purposes"]
        known = (*listed.entries, *listed.former)
        return next((each.code for each in known if text in {each.en, each.cy}), "")

    def no_note_words(self, reason: str) -> str:
        """Return the English words of a reason for no note; "" while they are Galwad's own."""
        listed = self._lists["no_note_reasons"]
        words = {each.code: each.en for each in listed.entries if listed.changed}
        return words.get(reason, "")

    def _check_version(self, name: ListName, based_on: str) -> None:
        if self._lists[name].version != based_on:
            raise ListChangedError("the list was changed meanwhile")

    def _check(self, name: ListName, entries: Entries) -> None:
        fixed = [each.code for each in self._initial[name]] if name in FIXED else None
        fault = RULES[name].fault_in(entries, fixed)
        if fault is None and name == "purposes" and not entries and not self.free_text:
            fault = TextFault("no_purpose")
        if fault is not None:
            raise ListFaultError(fault)

    async def _replace(self, name: ListName, entries: Entries | None, user: str) -> TextList:
        before = self._lists[name]
        stored = StoredTexts(entries, before.former, self._clock(), user)
        counting = self._counting(name, stored)
        stored = replace(stored, former=counting.remembering(before.entries))
        await self._store.save(name, stored)
        self._lists[name] = self._counting(name, stored)
        self._on_changed()
        return self._lists[name]

    def _counting(self, name: ListName, stored: StoredTexts) -> TextList:
        """Return the list that is in force if the database has `stored`.

        A fixed list always has the codes of the first list. If only listed purposes are allowed, an
        empty list of them is ignored, because no note could be saved.
        """
        closed = name == "purposes" and not self.free_text
        if stored.entries is None or (closed and not stored.entries):
            return TextList(name, self._initial[name], former=stored.former)
        entries = stored.entries
        if name in FIXED:
            named = {each.code: each for each in entries}
            entries = tuple(named.get(each.code, each) for each in self._initial[name])
        return TextList(name, entries, stored.changed, stored.changed_by, stored.former)


def page_texts(lists: TextLists) -> PageTexts:
    """Return the lists as the pages need them."""
    breaks, words = lists.get("breaks"), lists.get("no_note_reasons")
    present = {each.code for each in breaks.entries}
    return PageTexts(
        line_names={
            each.code: TwoTexts(en=each.en, cy=each.cy)
            for each in lists.get("lines").entries
            if each.cy or each.en != each.code
        },
        break_reasons=list(breaks.entries),
        former_reasons=[each for each in breaks.former if each.code not in present],
        no_note_reasons=list(words.entries if words.changed else ()),
        purposes=purposes_of(lists),
        free_text=lists.free_text,
        teams=list(lists.get("teams").entries),
    )


def purposes_of(lists: TextLists) -> list[TwoTexts]:
    """Return the purposes that advisors can choose, without the codes of the CRM."""
    return [TwoTexts(en=each.en, cy=each.cy) for each in lists.get("purposes").entries]


def initial_lists(
    routes: Iterable[Route], notes: ContactNotesSection, presence: PresenceSection
) -> dict[ListName, Entries]:
    """Return the lists of the settings, Galwad's reasons for no note, and no teams."""
    return {
        "lines": _lines(routes),
        "purposes": tuple(map(TextEntry.of, notes.purposes)),
        "breaks": tuple(map(TextEntry.of, presence.break_reasons)),
        "no_note_reasons": _no_note_reasons(),
        "teams": (),
    }


def _lines(routes: Iterable[Route]) -> Entries:
    """Return the name of each line once, though several routes may have it."""
    welsh: dict[str, str] = {}
    for route in routes:
        if route.line:
            welsh[route.line] = route.line_cy or welsh.get(route.line, "")
    return tuple(TextEntry(line, line, name) for line, name in welsh.items())


@cache
def _no_note_reasons() -> Entries:
    english, welsh = _page_texts("en"), _page_texts("cy")
    return tuple(
        TextEntry(reason, english[f"no_note_reason.{reason}"], welsh[f"no_note_reason.{reason}"])
        for reason in get_args(NoNoteReason)
    )


def _page_texts(language: str) -> dict[str, str]:
    file = files("galwad.page") / "locale" / f"{language}.json"
    found: dict[str, str] = json.loads(file.read_bytes())
    return found
