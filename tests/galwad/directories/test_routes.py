"""The endpoint that forgets the answers of directories, for changes and erasure in a CRM."""

from __future__ import annotations

import pytest

from callerid.limited_source import SourceLimits
from callerid.person import Person
from helpers.fake_directory import Directory

CALLS = [f"20261125-10150{n}-aaaaaaaa" for n in range(3)]
FORGET = "/api/v1/directories/forget"
ELIN = Person("crm:1", "Elin", numbers=("01632 960001",))


@pytest.fixture
async def crm(running):
    """A CRM that knows Elin, in a desk."""
    crm = Directory("crm", [ELIN])
    await running.stop()
    await running.start([(crm, SourceLimits())])
    return crm


async def names_at_a_ring(running, sian, call_id):
    running.switch.ring(call_id)
    pop = await sian.filled(call_id)
    return [one["name"] for one in pop["caller"]["candidates"]]


async def test_after_a_change_in_the_crm_the_next_call_shows_the_new_record(running, crm):
    machine = await running.machine("crm", "directories")
    sian = await running.page("sian")
    await sian.open()
    assert await names_at_a_ring(running, sian, CALLS[0]) == ["Elin"]
    crm.people = []
    assert await names_at_a_ring(running, sian, CALLS[1]) == ["Elin"]
    reply = await machine.post(FORGET)
    assert (reply.status_code, reply.content) == (204, b"")
    assert await names_at_a_ring(running, sian, CALLS[2]) == []
    entry = (await running.desk.host.audit.entries())[-1]
    assert (entry.kind, entry.facts) == ("directory.answers-forgotten", {})
    assert entry.personal["actor"] == "token:crm"


async def test_only_machines_with_the_right_and_administrators_may_forget_answers(running):
    gwen, mair, sian = [await running.page(name) for name in ("gwen", "mair", "sian")]
    machine = await running.machine("crm", "directories")
    other = await running.machine("pay", "payments", "metrics", "anchors")
    allowed = [await client.post(FORGET) for client in (machine, gwen.http)]
    refused = [await client.post(FORGET) for client in (other, mair.http, sian.http)]
    stranger = await running.client().post(FORGET)
    assert [each.status_code for each in allowed] == [204, 204]
    assert [each.status_code for each in refused] == [403, 403, 403]
    assert stranger.status_code == 401
    kinds = [entry.kind for entry in await running.desk.host.audit.entries()]
    assert kinds.count("directory.answers-forgotten") == 2


async def test_a_machine_with_the_directories_right_may_not_read_calls_pause_or_fetch_anchors(
    running,
):
    machine = await running.machine("crm", "directories")
    assert (await machine.get("/api/v1/calls")).status_code == 403
    assert (await machine.put("/api/v1/payments", json={"advisor": "sian"})).status_code == 403
    assert (await machine.get("/api/v1/audit/head")).status_code == 403
