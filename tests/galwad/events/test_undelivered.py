"""The endpoints for call events that were not delivered, and the entries in the audit."""

from __future__ import annotations

import pytest

from helpers.desk import changed, until
from helpers.http_server import answer

CALL = "20261125-101500-aaaaaaaa"
PLACE = "/api/v1/webhooks"
OK = answer(b"")


@pytest.fixture
async def failed(running, section, server):
    """An administrator's browser, and an event that the receiver has not accepted."""
    server.answers = [answer(b"secret detail", "503 Busy", Retry_After="3600"), OK]
    await running.stop()
    running.settings = changed(running.settings, webhook=section())
    await running.start()
    await until(lambda: running.desk.host.switch.connected)
    running.switch.ring(CALL)
    gwen = (await running.page("gwen")).http
    await until(lambda: server.received != [])
    found: list[dict] = []
    while not found:
        found = (await gwen.get(f"{PLACE}/undelivered")).json()
    gwen.event = found[0]
    return gwen


async def audited(running):
    entries = await running.desk.host.audit.entries()
    return [(e.kind, e.facts, e.personal) for e in entries if e.kind.startswith("webhook.")]


@pytest.mark.parametrize("who", ["sian", "mair", "machine"])
async def test_only_an_administrator_sees_and_decides_about_events(running, who):
    client = await running.machine("pay") if who == "machine" else (await running.page(who)).http
    assert (await client.get(f"{PLACE}/undelivered")).status_code == 403
    assert (await client.post(f"{PLACE}/a/retry")).status_code == 403
    body = {"reason": "a test"}
    assert (await client.post(f"{PLACE}/a/discard", json=body)).status_code == 403
    assert await audited(running) == []


async def test_the_list_has_the_reason_and_nothing_about_the_caller(failed):
    event = failed.event
    assert (event["call_id"], event["kind"], event["state"]) == (CALL, "ringing", "waiting")
    assert (event["attempts"], event["reason"]) == (1, "the receiver answers 503")
    assert event["due"] > event["created"] + 1000
    text = (await failed.get(f"{PLACE}/undelivered")).text
    for detail in ("01632960001", "Council Tax", "secret detail"):
        assert detail not in text


async def test_a_retried_event_is_sent_and_the_decision_is_in_the_audit(running, failed, server):
    event_id = failed.event["id"]
    assert (await failed.post(f"{PLACE}/{event_id}/retry")).status_code == 204
    await until(lambda: len(server.received) == 2)
    while (await failed.get(f"{PLACE}/undelivered")).json():
        pass
    facts = {"call_id": CALL, "event_id": event_id}
    assert await audited(running) == [("webhook.retried", facts, {"actor": "user:gwen"})]
    assert (await failed.post(f"{PLACE}/{event_id}/retry")).status_code == 404


async def test_a_discarded_event_is_never_sent_and_the_audit_has_the_reason(
    running, failed, server
):
    event_id = failed.event["id"]
    place = f"{PLACE}/{event_id}/discard"
    assert (await failed.post(place, json={"reason": " "})).status_code == 422
    assert (await failed.post(place, json={"reason": "a test call"})).status_code == 204
    assert (await failed.get(f"{PLACE}/undelivered")).json() == []
    assert (await failed.post(place, json={"reason": "a test call"})).status_code == 404
    facts = {"call_id": CALL, "event_id": event_id}
    personal = {"actor": "user:gwen", "reason": "a test call"}
    assert await audited(running) == [("webhook.discarded", facts, personal)]
    assert len(server.received) == 1


async def test_without_a_receiver_the_list_is_empty_and_a_retry_gives_404(running):
    gwen = (await running.page("gwen")).http
    assert (await gwen.get(f"{PLACE}/undelivered")).json() == []
    assert (await gwen.post(f"{PLACE}/a/retry")).status_code == 404
