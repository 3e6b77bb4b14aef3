"""The endpoint with the texts of an installation, and where each is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import get_args

from fastapi import APIRouter

from galwad.desk.models.calls import NoNoteReason
from galwad.desk.models.texts import TextKind, TextView
from galwad.desk.routes.access import Administrator, TheDesk
from galwad.desk.service import Desk

router = APIRouter()


@router.get("/texts")
async def texts(desk: TheDesk, _: Administrator) -> list[TextView]:
    """Return the texts that advisors see in both languages, and where the settings have them."""
    return [*_lines(desk), *_purposes(desk), *_breaks(desk), *_no_note_reasons()]


def _lines(desk: Desk) -> Iterator[TextView]:
    for number, route in enumerate(desk.options.routes, 1):
        if route.line:
            yield TextView(
                kind="line",
                table="routes",
                number=number,
                keys=["line", "line_cy"],
                en=route.line,
                cy=route.line_cy,
            )


def _purposes(desk: Desk) -> Iterator[TextView]:
    for number, purpose in enumerate(desk.options.contact_notes.purposes, 1):
        yield _pair("purpose", "contact_notes.purposes", number, purpose.en, purpose.cy)


def _breaks(desk: Desk) -> Iterator[TextView]:
    for number, reason in enumerate(desk.options.presence.break_reasons, 1):
        yield _pair("break", "presence.break_reasons", number, reason.en, reason.cy)


def _no_note_reasons() -> Iterator[TextView]:
    english, welsh = _page_texts("en"), _page_texts("cy")
    for reason in get_args(NoNoteReason):
        name = f"no_note_reason.{reason}"
        yield _pair("no_note", "", 0, english[name], welsh[name])


def _pair(kind: TextKind, table: str, number: int, english: str, welsh: str) -> TextView:
    keys = ["en", "cy"] if table else []
    return TextView(kind=kind, table=table, number=number, keys=keys, en=english, cy=welsh)


@cache
def _page_texts(language: str) -> dict[str, str]:
    file = files("galwad.desk") / "locale" / f"{language}.json"
    found: dict[str, str] = json.loads(file.read_bytes())
    return found
