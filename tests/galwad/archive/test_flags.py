"""Flags of recordings: who may set them, and who may still hear the recording."""

from __future__ import annotations

import itertools

import pytest

from galwad.archive.rules import DISCLOSURE_PURPOSES

CALL = "20261125-101500-abcdefgh"
URL = f"/api/v1/recordings/{CALL}"
ALL = {
    *("quality-training", "customer-insight", "complaint", "legal-claim", "staff-safety"),
    *("legal-disclosure", "crime", "vital-interests"),
}
SUPERVISORS = {"quality-training", "customer-insight", "complaint", "staff-safety"}
RESTRICTED = {"legal-claim", "legal-disclosure", "vital-interests"}
HEARD = {
    ("gwen",): ALL,
    ("gwen", "sensitive"): ALL,
    ("gwen", "restricted"): RESTRICTED,
    ("gwen", "restricted", "sensitive"): RESTRICTED,
    ("gwen", "third-party"): ALL,
    ("mair",): SUPERVISORS,
    ("mair", "sensitive"): set(),
    ("mair", "restricted"): set(),
    ("mair", "restricted", "sensitive"): set(),
    ("mair", "third-party"): SUPERVISORS,
}
"""The purposes for which an administrator (gwen) and a supervisor (mair) may hear a recording."""


@pytest.fixture
async def pages(running, sealed):
    await running.seal(sealed)
    return {name: await running.page(name) for name in ("sian", "mair", "gwen")}


async def urgent(page, purpose):
    """Open an urgent disclosure of the recording, and return the field that names it."""
    body = {
        **dict.fromkeys(("requester", "authority", "recipient"), "DC Jones"),
        "call_ids": [CALL],
        "purpose": purpose,
        "reference": "C-1",
        "urgent": "a child",
    }
    reply = await page.http.post("/api/v1/disclosures", json=body)
    return {"disclosure": reply.json()["disclosure"]["disclosure_id"]}


async def change(page, method, flag, reason="medical details"):
    reply = await page.http.request(method, f"{URL}/flags/{flag}", json={"reason": reason})
    return reply.status_code


async def entries(running):
    found = await running.desk.host.audit.entries()
    return [
        (each.kind, each.facts["flag"], each.personal["actor"], each.personal["reason"])
        for each in found
        if each.kind in {"recording.flagged", "recording.unflagged"}
    ]


@pytest.mark.parametrize(("name", "flags"), [(who, flags) for who, *flags in HEARD])
async def test_flags_narrow_the_purposes_for_which_a_recording_may_be_fetched(pages, name, flags):
    for flag in flags:
        assert await change(pages["gwen"], "PUT", flag) == 204
    allowed = HEARD[(name, *flags)]
    page = pages[name]
    needed = {each: await urgent(pages["gwen"], each) for each in DISCLOSURE_PURPOSES}
    assert {*(await page.http.get(URL)).json()["purposes"]} == allowed
    for purpose, path in itertools.product(ALL, ("fetch", "listen")):
        why = {"purpose": purpose, "reference": "C-1", **needed.get(purpose, {})}
        reply = await page.http.post(f"{URL}/{path}", json=why)
        assert reply.status_code == (200 if purpose in allowed else 403), (purpose, path)
    pack = {"recipient": "DC Jones", "sha256": "0" * 64, "size": 1, "reference": "C-1"}
    for purpose in ALL:
        body = {**pack, "purpose": purpose, **needed.get(purpose, {})}
        reply = await page.http.post(f"{URL}/evidence", json=body)
        assert reply.status_code == (200 if purpose in allowed else 403), purpose


async def test_a_flag_ends_the_listening_of_a_person_who_may_no_longer_hear_the_recording(pages):
    why = {"purpose": "complaint", "reference": "C-1"}
    entry = (await pages["mair"].http.post(f"{URL}/listen", json=why)).json()["entry"]
    part = {"url": f"{URL}/payload?entry={entry}", "headers": {"Range": "bytes=0-9"}}
    assert (await pages["mair"].http.get(**part)).status_code == 206
    assert await change(pages["gwen"], "PUT", "sensitive") == 204
    assert (await pages["mair"].http.get(**part)).status_code == 403


async def test_supervisors_set_flags_and_only_administrators_restrict_or_remove_flags(
    running, pages
):
    sian, mair, gwen = pages.values()
    for page, method, flag, status in (
        (sian, "PUT", "sensitive", 403),
        (mair, "PUT", "sensitive", 204),
        (mair, "PUT", "third-party", 204),
        (mair, "PUT", "restricted", 403),
        (mair, "DELETE", "sensitive", 403),
        (gwen, "PUT", "restricted", 204),
        (gwen, "DELETE", "sensitive", 204),
        (gwen, "DELETE", "sensitive", 409),
        (gwen, "PUT", "secret", 422),
    ):
        assert await change(page, method, flag) == status, (method, flag)
    assert await entries(running) == [
        ("recording.flagged", "sensitive", "user:mair", "medical details"),
        ("recording.flagged", "third-party", "user:mair", "medical details"),
        ("recording.flagged", "restricted", "user:gwen", "medical details"),
        ("recording.unflagged", "sensitive", "user:gwen", "medical details"),
    ]
    shown = (await gwen.http.get(URL)).json()
    assert [each["flag"] for each in shown["flags"]] == ["restricted", "third-party"]
    assert shown["recording"]["flags"] == ["restricted", "third-party"]


async def test_recordings_are_found_by_a_flag_and_a_reason_needs_words_without_a_card_number(
    running, pages
):
    gwen = pages["gwen"]
    assert await change(gwen, "PUT", "sensitive", " ") == 422
    assert await change(gwen, "PUT", "sensitive", "4929 0000 0000 6") == 422
    assert await entries(running) == []
    for flag, count in (("sensitive", 1), ("restricted", 0)):
        await change(gwen, "PUT", "sensitive")
        found = await gwen.http.post("/api/v1/recordings/search", json={"flag": flag})
        assert len(found.json()["rows"]) == count
