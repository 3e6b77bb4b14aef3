"""A recording that is retained for a legal matter, and the alarm if another person releases it."""

from __future__ import annotations

import pytest

CALL = "20261125-101500-abcdefgh"
HOLD = f"/api/v1/recordings/{CALL}/hold"


@pytest.fixture
async def administrators(running, sealed):
    """The pages of two administrators, gwen and bryn, beside a sealed recording."""
    await running.seal(sealed)
    await running.add("bryn", "admin")
    return await running.page("gwen"), await running.page("bryn")


async def put(page, reason="claim 17"):
    assert (await page.http.put(HOLD, json={"reason": reason})).status_code == 204


async def release(running, page):
    reply = await page.http.request("DELETE", HOLD, json={"reason": "settled"})
    assert reply.status_code == 204
    return [each.call_id for each in running.desk.calls.alarms.open() if _is_hold(each)]


def _is_hold(alarm):
    return alarm.kind == "recording.hold_ended"


async def last(running):
    entries = await running.desk.host.audit.entries()
    return [each for each in entries if each.kind == "recording.released"][-1]


async def test_ending_the_retention_of_another_administrator_is_audited_and_raises_an_alarm(
    running, administrators
):
    gwen, bryn = administrators
    await put(gwen)
    assert await release(running, bryn) == [CALL]
    entry = await last(running)
    assert entry.facts["of_another"] is True
    assert (entry.personal["actor"], entry.personal["held_by"]) == ("user:bryn", "user:gwen")


async def test_an_administrator_who_ends_their_own_retention_raises_no_alarm(
    running, administrators
):
    gwen, _ = administrators
    await put(gwen)
    assert await release(running, gwen) == []
    entry = await last(running)
    assert entry.facts["of_another"] is False
    assert "held_by" not in entry.personal


async def test_a_new_reason_does_not_hide_that_another_administrator_retains_the_recording(
    running, administrators
):
    gwen, bryn = administrators
    await put(gwen)
    await put(bryn, "claim 18")
    assert await release(running, bryn) == [CALL]


async def test_sixty_new_reasons_do_not_hide_that_another_administrator_retains_the_recording(
    running, administrators
):
    gwen, bryn = administrators
    await put(gwen)
    for number in range(60):
        await put(bryn, f"claim {number}")
    assert await release(running, bryn) == [CALL]


async def test_a_retention_that_another_administrator_released_earlier_raises_no_alarm(
    running, administrators
):
    gwen, bryn = administrators
    await put(gwen)
    await release(running, gwen)
    await put(bryn)
    assert await release(running, bryn) == []


async def test_releasing_a_recording_that_an_unknown_person_retains_raises_an_alarm(
    running, administrators
):
    gwen, _ = administrators
    await running.desk.archive.custodian.retain(CALL, "from a backup", 1_800_000_000.0)
    assert await release(running, gwen) == [CALL]
