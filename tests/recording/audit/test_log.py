"""The audit: entries, search, erased values, day keys, and changes that are detected.

Covers `recording/audit/day_key.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest
from sqlalchemy import event

from recording.audit.chain import Head
from recording.audit.day_key import DayKeys
from recording.audit.log import AuditFilter, AuditLog, verify
from recording.errors import AuditError

DAY_S = 86_400


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def audit(engine, clock, tmp_path):
    return AuditLog(engine, "node-1", tmp_path / "audit.key", clock)


async def sql(engine, statement):
    async with engine.begin() as connection:
        await connection.exec_driver_sql(statement)


async def findings(engine, anchors=()):
    result = await verify(engine, "node-1", anchors)
    return [(finding.seq, finding.problem) for finding in result.findings]


async def three(audit):
    for number in range(3):
        head = await audit.append(
            "recording.fetched", {"call_id": f"call-{number}"}, {"actor": "user:gwen"}
        )
    return head


async def test_an_unchanged_chain_verifies(audit, engine):
    head = await three(audit)
    result = await verify(engine, "node-1")
    assert result.is_clean
    assert (result.entries, result.head) == (4, head)
    entries = await audit.entries()
    assert [entry.kind for entry in entries] == ["day-key", *["recording.fetched"] * 3]
    assert entries[1].personal == {"actor": "user:gwen"}


async def test_the_bodies_of_entries_contain_no_personal_values(audit, engine):
    await three(audit)
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT body FROM audit_entries")
        assert not any("gwen" in body for (body,) in rows)


DELETED = "of its values, actor was deleted, and no entry says why"


async def test_a_deleted_personal_value_is_reported(audit, engine):
    await three(audit)
    await audit.append("recording.held", {}, {"actor": "user:huw", "reference": "C-1"})
    await sql(engine, "DELETE FROM audit_values WHERE seq = 2 OR name = 'reference'")
    assert await findings(engine) == [(2, DELETED), (5, DELETED.replace("actor", "reference"))]


@pytest.mark.parametrize("later_s", [0, 86_400])
async def test_an_erasure_deletes_values_and_leaves_a_signed_reason(audit, engine, clock, later_s):
    """The entry may be the first of a day, with a new day key."""
    await three(audit)
    clock.now += later_s
    assert await audit.erase(2, (), "right-to-erasure", "os:root") == ["actor"]
    assert (await audit.entries())[1].personal == {}
    last = (await audit.entries())[-1]
    assert (last.kind, last.facts["entry"], last.facts["reason"]) == (
        "values.erased",
        2,
        "right-to-erasure",
    )
    assert last.personal == {"actor": "os:root"}
    assert await findings(engine) == []
    await audit.append("recording.held", {}, {"actor": "user:huw"})
    assert await findings(engine) == []
    for seq, names in ((99, ()), (3, ("number",)), (1, ())):
        with pytest.raises(AuditError):
            await audit.erase(seq, names, "mistake", "os:root")


async def test_a_value_that_was_deleted_by_hand_can_be_recorded_as_erased(audit, engine):
    await three(audit)
    await sql(engine, "DELETE FROM audit_values WHERE seq = 2")
    await audit.erase(2, ("actor",), "order", "os:root")
    assert await findings(engine) == []


async def test_a_forged_reason_to_erase_a_value_is_reported(audit, engine):
    """A person who can write to the database only does not have the day key."""
    await three(audit)
    links = await audit.chain_entries()
    facts = {"entry": 2, "hash": links[1].hash, "names": "actor", "reason": "order"}
    for signature in ("", "00" * 64):
        await audit.append("values.erased", {**facts, "signature": signature})
    await sql(engine, "DELETE FROM audit_values WHERE seq = 2")
    why = "the day key did not sign its reason to erase values"
    assert await findings(engine) == [(5, why), (6, why), (2, DELETED)]


async def test_a_reason_to_erase_an_entry_does_not_excuse_lost_values_of_another_entry(
    audit, engine
):
    await three(audit)
    await audit.erase(2, (), "order", "os:root")
    await sql(engine, "DELETE FROM audit_values WHERE seq = 3")
    assert await findings(engine) == [(3, DELETED)]


@pytest.mark.parametrize("kind", ["payment.pause", "payment.hold"])
async def test_a_search_by_a_kinds_old_or_new_name_finds_the_entries_with_both_names(audit, kind):
    for each in ("payment.hold", "payment.pause", "payment.resume"):
        await audit.append(each, {}, {})
    found = await audit.search(AuditFilter(kind=kind), None, 9)
    assert [link.kind for link in found] == ["payment.pause", "payment.hold"]


async def test_a_search_filters_entries_and_returns_the_newest_first(audit, clock, engine):
    await three(audit)
    clock.now += 60
    await audit.append("recording.held", {"call_id": "call-1"}, {"actor": "user:huw"})
    await audit.append("backup.made", {"software": "x"}, {"actor": "os:root"})
    began = clock.now - 60

    async def found(before=None, limit=50, **sought):
        return [link.seq for link in await audit.search(AuditFilter(**sought), before, limit)]

    assert await found() == [6, 5, 4, 3, 2, 1]
    assert await found(limit=2) == [6, 5]
    assert await found(limit=2, before=5) == [4, 3]
    assert await found(call_id="call-1") == [5, 3]
    assert await found(call_id="call-") == []
    assert await found(call_id="%") == []
    assert await found(kind="recording.held", call_id="call-1") == [5]
    assert await found(kind="recording.fetched") == [4, 3, 2]
    assert await found(kind="recording.fetched", before=4, limit=1) == [3]
    assert await found(actor="user:huw") == [5]
    assert await found(call_id="call-1", actor="user:gwen") == [3]
    assert await found(since=began + 60) == [6, 5]
    assert await found(until=began + 60, kind="recording.fetched") == [4, 3, 2]
    (link,) = await audit.search(AuditFilter(kind="recording.held"))
    assert link.values["actor"][1] == "user:huw"
    await audit.erase(5, (), "right-to-erasure", "os:root")
    assert await found(actor="user:huw") == []


async def test_a_changed_entry_is_reported(audit, engine):
    await three(audit)
    await sql(engine, "UPDATE audit_entries SET body = replace(body, 'call-1', 'call-9')")
    assert await findings(engine) == [(3, "it or the entry before it was changed")]


async def test_a_changed_value_or_column_is_reported(audit, engine):
    await three(audit)
    await sql(engine, "UPDATE audit_values SET value = 'user:huw' WHERE seq = 2")
    await sql(engine, "UPDATE audit_entries SET at_us = at_us + 1 WHERE seq = 3")
    assert await findings(engine) == [
        (2, "its value actor does not match its commitment"),
        (3, "its columns contradict its body"),
    ]


async def test_a_dropped_entry_is_reported(audit, engine):
    await three(audit)
    await sql(engine, "DELETE FROM audit_entries WHERE seq = 3")
    assert (4, "1 entries before it are missing") in await findings(engine)


async def test_a_cut_tail_is_reported_only_with_an_anchor(audit, engine):
    head = await three(audit)
    assert await findings(engine, [head]) == []
    await sql(engine, "DELETE FROM audit_entries WHERE seq = 4")
    assert await findings(engine) == []
    ((seq, text),) = await findings(engine, [head])
    assert seq == 4
    assert "names it, but the chain ends with entry 3: its end was removed" in text
    assert (await findings(engine, [Head(3, "0" * 64)]))[0][0] == 3


async def test_after_a_cut_tail_no_number_is_used_twice_and_the_cut_is_reported(
    audit, engine, clock, tmp_path
):
    await three(audit)
    await sql(engine, "DELETE FROM audit_entries WHERE seq > 2")
    cut: list = []
    audit = AuditLog(engine, "node-1", tmp_path / "audit.key", clock, cut.append)
    assert (await audit.append("recording.indexed", {"call_id": "call-9"})).seq == 5
    await three(audit)
    assert cut == [5]
    assert await findings(engine) == [(5, "2 entries before it are missing")]


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_chain_with_at_most_one_entry_left_continues_with_new_numbers(audit, engine, kept):
    await three(audit)
    await sql(engine, f"DELETE FROM audit_entries WHERE seq > {kept}")
    assert (await three(audit)).seq == 7 + (kept == 0)
    assert (5, f"{4 - kept} entries before it are missing") in await findings(engine)


async def test_each_day_key_signs_the_key_of_the_next_day_and_is_replaced_in_its_file(
    audit, engine, clock, tmp_path
):
    await three(audit)
    yesterday = (tmp_path / "audit.key").read_bytes()
    clock.now += DAY_S
    await three(audit)
    assert [entry.kind for entry in await audit.entries()].count("day-key") == 2
    assert (tmp_path / "audit.key").read_bytes() != yesterday
    assert not (tmp_path / "audit.key.next").exists()
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert await findings(engine) == []


async def test_a_clock_that_goes_back_does_not_change_the_day_key(audit, clock):
    await three(audit)
    clock.now -= 2 * DAY_S
    await three(audit)
    assert [entry.kind for entry in await audit.entries()].count("day-key") == 1


async def test_a_day_key_dated_years_ahead_is_replaced_and_signs_its_successor(
    audit, engine, clock
):
    clock.now += 1000 * DAY_S
    await three(audit)
    clock.now -= 1000 * DAY_S
    await three(audit)
    clock.now += DAY_S
    await three(audit)
    assert [entry.kind for entry in await audit.entries()].count("day-key") == 3
    assert await findings(engine) == []


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"0" * 32)])
async def test_a_day_key_that_its_predecessor_did_not_sign_is_reported(
    audit, engine, tmp_path, lose
):
    await three(audit)
    lose(tmp_path / "audit.key")
    await three(audit)
    assert await findings(engine) == [(5, "the day key before it did not sign it")]


async def test_a_rewritten_past_does_not_match_the_signature_of_the_next_day_key(
    audit, engine, clock
):
    """An intruder today can compute every hash again; yesterday's key is destroyed."""
    await three(audit)
    clock.now += DAY_S
    await three(audit)
    async with engine.begin() as connection:
        rows = await connection.exec_driver_sql("SELECT seq, body FROM audit_entries ORDER BY seq")
        previous = "0" * 64
        for seq, body in rows.all():
            forged = body.replace("call-1", "call-9") if seq == 3 else body
            previous = _hash(previous, forged)
            await connection.exec_driver_sql(
                "UPDATE audit_entries SET body = ?, hash = ? WHERE seq = ?", (forged, previous, seq)
            )
    assert await findings(engine) == [(5, "the day key before it did not sign it")]


def _hash(previous, body):
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


async def test_a_crash_between_announcing_and_adopting_a_day_key_is_repaired(
    audit, engine, clock, tmp_path, monkeypatch
):
    await three(audit)
    clock.now += DAY_S
    monkeypatch.setattr("recording.audit.day_key.DayKeys.rotate", lambda _self: None)
    await audit.append("x")
    assert (tmp_path / "audit.key.next").exists()
    monkeypatch.undo()
    again = AuditLog(engine, "node-1", tmp_path / "audit.key", clock)
    await again.append("y")
    assert not (tmp_path / "audit.key.next").exists()
    clock.now += DAY_S
    await again.append("z")
    assert await findings(engine) == []


async def test_the_slower_of_two_processes_to_adopt_a_day_key_still_writes_its_entry(
    audit, engine, clock, tmp_path, monkeypatch
):
    """For example, the desk writes an entry at midnight while root adds a user."""
    await three(audit)
    clock.now += DAY_S
    adopt = DayKeys.rotate

    def adopt_twice(keys):
        adopt(DayKeys(tmp_path / "audit.key"))  # the other process, in `current`
        adopt(keys)

    monkeypatch.setattr(DayKeys, "rotate", adopt_twice)
    assert (await audit.append("x")).seq == 6
    assert await findings(engine) == []


async def test_concurrent_appends_from_two_logs_make_one_chain(audit, engine, clock, tmp_path):
    other = AuditLog(engine, "node-1", tmp_path / "audit.key", clock)
    await asyncio.gather(*(log.append("x") for log in [audit, other] * 10))
    result = await verify(engine, "node-1")
    assert result.is_clean
    assert result.entries == 21


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"facts":[]}', '{"facts":{"public_key":7}}'])
async def test_an_unusable_day_key_entry_does_not_prevent_new_entries(audit, engine, body):
    """A damaged chain does not stop the service; verification reports the damage."""
    await three(audit)
    await sql(engine, f"UPDATE audit_entries SET body = '{body}' WHERE seq = 1")
    await three(audit)
    assert (await audit.last("day-key")).seq == 5
    assert {seq for seq, _ in await findings(engine)} >= {1, 5}


async def test_the_previous_day_key_is_overwritten_on_the_disk(audit, clock, tmp_path):
    await three(audit)
    key, disk = tmp_path / "audit.key", tmp_path / "the same blocks"
    os.link(key, disk)
    assert any(disk.read_bytes())
    clock.now += DAY_S
    await three(audit)
    assert disk.read_bytes() == bytes(32)
    assert any(key.read_bytes())


async def test_each_node_has_a_chain_of_its_own(audit, engine, tmp_path):
    await three(audit)
    other = AuditLog(engine, "node-2", tmp_path / "other.key")
    await other.append("x")
    assert (await verify(engine, "node-2")).entries == 2
    assert await findings(engine) == []


async def test_an_entry_that_cannot_be_written_raises_audit_error(audit, engine):
    await sql(engine, "DROP TABLE audit_values")
    with pytest.raises(AuditError):
        await audit.append("recording.fetched", {}, {"actor": "user:gwen"})


async def test_a_chain_that_cannot_be_read_raises_audit_error(audit, engine):
    await three(audit)
    await sql(engine, "DROP TABLE audit_values")
    await sql(engine, "DROP TABLE audit_entries")
    for work in (audit.head(), audit.last("x"), audit.chain_entries(), audit.search(AuditFilter())):
        with pytest.raises(AuditError, match="cannot be read: no such table: "):
            await work


async def test_the_body_of_an_entry_is_canonical_json(audit, engine):
    await audit.append("x", {"b": 1, "a": "é"})
    async with engine.connect() as connection:
        body = (
            await connection.exec_driver_sql("SELECT body FROM audit_entries WHERE seq = 2")
        ).scalar_one()
    parsed = json.loads(body)
    assert body == json.dumps(parsed, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert parsed["facts"] == {"b": 1, "a": "é"}


@pytest.mark.parametrize(
    ("sought", "index"),
    [
        (AuditFilter("recording.indexed", "call-1"), "audit_entries_by_call"),
        (AuditFilter(call_id="call-1"), "audit_entries_by_call"),
        (AuditFilter("payment.paused", since=1.0, until=2.0), "audit_entries_by_time"),
        (AuditFilter("payment.paused", since=1.0), "audit_entries_by_kind"),
        (AuditFilter("payment.paused", since=1.0, until=9e6), "audit_entries_by_kind"),
        (AuditFilter("payment.paused"), "audit_entries_by_kind"),
    ],
)
async def test_a_search_among_a_million_entries_uses_an_index(audit, engine, sought, index):
    asked = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *of: asked.append(of[2:4]))
    await audit.search(sought)
    statement, values = next(of for of in asked if "ORDER BY" in of[0])
    async with engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        assert f"SEARCH audit_entries USING INDEX {index} " in str(plan.all())
