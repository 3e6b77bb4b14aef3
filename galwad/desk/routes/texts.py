"""The endpoint with the texts of an installation, and where each is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import get_args

from fastapi import APIRouter

from galwad.desk.models.calls import NoNoteReason
from galwad.desk.models.texts import TextView
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
            key = f"routes[{number}].line"
            yield TextView(kind="line", key=key, en=route.line, cy=route.line_cy)


def _purposes(desk: Desk) -> Iterator[TextView]:
    for number, purpose in enumerate(desk.options.contact_notes.purposes, 1):
        key = f"contact_notes.purposes[{number}]"
        yield TextView(kind="purpose", key=key, en=purpose.en, cy=purpose.cy)


def _breaks(desk: Desk) -> Iterator[TextView]:
    for number, reason in enumerate(desk.options.presence.break_reasons, 1):
        key = f"presence.break_reasons[{number}]"
        yield TextView(kind="break", key=key, en=reason.en, cy=reason.cy)


def _no_note_reasons() -> Iterator[TextView]:
    english, welsh = _page_texts("en"), _page_texts("cy")
    for reason in get_args(NoNoteReason):
        name = f"no_note_reason.{reason}"
        yield TextView(kind="no_note", key="", en=english[name], cy=welsh[name])


@cache
def _page_texts(language: str) -> dict[str, str]:
    file = files("galwad.desk") / "locale" / f"{language}.json"
    found: dict[str, str] = json.loads(file.read_bytes())
    return found
