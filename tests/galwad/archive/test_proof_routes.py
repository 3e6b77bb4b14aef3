"""The audit over the HTTP API: who may read it, and the anchor of each night.

Covers `galwad/archive/periodic.py`.
"""

from __future__ import annotations

import json

from recording.audit.anchors import parse_anchors
from recording.audit.chain import read_export, verify_entries
from recording.audit.log import verify


async def test_an_administrator_can_read_the_chain_and_the_reading_is_audited(running):
    gwen = await running.page("gwen")
    page = (await gwen.http.get("/api/v1/audit?limit=2")).json()
    assert (len(page["lines"]), page["last"]) == (2, 2)
    rest = (await gwen.http.get("/api/v1/audit?after=2")).json()
    links = list(read_export([*page["lines"], *rest["lines"]]))
    assert verify_entries(links).is_clean
    assert links[-1].kind == "audit.read"
    assert (links[-1].values["actor"][1], links[-1].facts["after"]) == ("user:gwen", 0)


async def test_an_entry_number_out_of_range_is_refused(running):
    gwen = await running.page("gwen")
    for path in ("/api/v1/audit?after=", "/api/v1/audit/head?seq="):
        answers = [await gwen.http.get(f"{path}{number}") for number in (2**31 - 1, 2**31, 10**30)]
        assert [each.status_code for each in answers] == [200, 422, 422]
    for number, status in ((2**31 - 1, 200), (2**63, 422), (10**30, 422)):
        answer = await gwen.http.post("/api/v1/audit/search", json={"before": number})
        assert answer.status_code == status


async def test_a_supervisor_may_fetch_anchors_but_not_read_the_audit(running):
    mair, sian = await running.page("mair"), await running.page("sian")
    assert (await mair.http.get("/api/v1/audit")).status_code == 403
    head = (await mair.http.get("/api/v1/audit/head")).json()
    (anchor,) = parse_anchors([head["anchor"]])
    assert anchor.node == "galwad"
    assert anchor.head == await running.desk.host.audit.head()
    assert head["earlier"] is None
    again = await mair.http.get(f"/api/v1/audit/head?seq={anchor.head.seq}")
    assert again.json()["earlier"] == anchor.head.hash
    assert (await sian.http.get("/api/v1/audit/head")).status_code == 403


async def test_a_machine_with_the_anchors_right_may_fetch_anchors_but_not_read_the_audit(running):
    await running.page("gwen")
    keeper = await running.machine("keeper", "anchors")
    assert (await keeper.get("/api/v1/audit/head")).status_code == 200
    assert (await keeper.get("/api/v1/audit")).status_code == 403
    other = await running.machine("pay", "payments")
    assert (await other.get("/api/v1/audit/head")).status_code == 403


async def test_each_nightly_check_adds_an_anchor_or_raises_an_alarm(running):
    mair = await running.page("mair")
    await mair.open()
    path = running.settings.anchor_file
    await running.desk.archive.nightly.check()
    await running.desk.archive.nightly.check()
    anchors = parse_anchors(path.read_text().splitlines())
    assert len(anchors) == 2
    heads = [anchor.head for anchor in anchors]
    assert (await verify(running.desk.host.engine, "galwad", heads)).is_clean
    path.unlink()
    path.mkdir()
    await running.desk.archive.nightly.check()
    assert (await mair.event("alarm"))["kind"] == "audit.not_anchored"


async def test_a_nightly_check_alarms_once_when_the_last_anchored_entry_is_gone(running):
    """Entries and values are deleted, and new entries reuse the numbers: the chain verifies."""
    mair = await running.page("mair")
    await mair.open()
    await running.desk.archive.nightly.check()
    noted = await running.desk.host.audit.head()
    await running.desk.archive.nightly.check()
    alarms = running.desk.host.metrics.alarms.labels("audit.cut")
    assert alarms._value.get() == 0
    async with running.desk.host.engine.begin() as connection:
        for table in ("audit_entries", "audit_values"):
            await connection.exec_driver_sql(f"DELETE FROM {table} WHERE seq >= {noted.seq}")
    for _ in range(3):
        await running.desk.archive.nightly.check()
    assert (await verify(running.desk.host.engine, "galwad")).is_clean
    assert (await mair.event("alarm"))["kind"] == "audit.cut"
    assert alarms._value.get() == 1


async def test_the_chain_has_the_manifest_digest_of_each_recording_once(running, sealed):
    await running.seal(sealed)
    await running.seal(sealed)
    entries = [e for e in await running.desk.host.audit.entries() if e.kind == "recording.indexed"]
    facts = {"call_id": sealed.call_id, "manifest_sha256": sealed.manifest_sha256}
    assert [entry.facts for entry in entries] == [facts]
    async with running.desk.host.engine.connect() as connection:
        bodies = await connection.exec_driver_sql("SELECT body FROM audit_entries")
        assert sum(json.loads(body)["kind"] == "recording.indexed" for (body,) in bodies) == 1
