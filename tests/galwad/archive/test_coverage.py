"""Coverage: each answered call is compared with its recording, on request and every night.

Covers `galwad/archive/indexer.py`, `galwad/archive/periodic.py` and
`galwad/archive/proof_routes.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from galwad.archive.periodic import next_time
from galwad.link import Link
from galwad.messages import CallEnded, Hello, LedgerHas, Sealed, WaitingSpool, WaitingSpools
from recording.archive.accounting import StoredInGap
from recording.archive.manifest import (
    Manifest,
    ObjectFacts,
    PacketStretch,
    PartyPackets,
    Segment,
    TriggerFacts,
    sign_manifest,
)
from recording.archive.packet_ledger import SpoolProof
from recording.audit.log import verify
from recording.errors import AuditError

FIRST, SECOND = "20261125-101500-abcdefgh", "20261125-102500-bcdefghi"
ANSWERED = 1_800_000_005.0
US = 1_000_000
EVER = "/api/v1/coverage?when=2027-01"


@pytest.fixture
async def mair(running):
    """The supervisor's page; the coverage check's clock is one hour after the answer."""
    running.desk.archive.coverage.clock = lambda: ANSWERED + 3600
    page = await running.page("mair")
    await page.open()
    return page


async def until(ask):
    """Call `ask` until its answer is true, and return the answer."""
    async with asyncio.timeout(60):
        while not (answer := await ask()):  # noqa: ASYNC110 - a database sends no event
            await asyncio.sleep(0.01)
    return answer


async def has_entered(running, *call_ids):
    async def known():
        return await running.desk.archive.coverage.ledger.knows(call_ids) == set(call_ids)

    await until(known)


async def talk(running, call_id, talk_us):
    """Answer a call, and end it after `talk_us` of the monotonic clock."""
    running.switch.ring(call_id)
    running.switch.answer(call_id, "201", "sian")
    await has_entered(running, call_id)
    running.switch.hang_up(call_id, talk_us)

    async def over():
        return (await running.desk.archive.coverage.ledger.between(0, 1e12))[-1].ended is not None

    await until(over)


def packets(received, *, stored=500, heard=500):
    """Return the packets of a segment of a minute; the advisor's counts add up."""
    caller, advisor = (
        PartyPackets(channel, count, 0, 0, stored, {}, 0, stored, 0, heard, 0, 0)
        for channel, count in (("caller", received), ("advisor", stored))
    )
    return [PacketStretch(0, 60 * US, "", True, [caller, advisor])]


def record(running, call_id, talk_us, to_us, stretches=None, *, triggers=()):
    """A recording of `talk_us` whose one segment ends at `to_us`, as the finaliser reports it."""
    folder = running.archive / "2026" / "11" / "25"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        "galwad-manifest-1",
        call_id,
        "galwad",
        "test",
        "2027-01-15T08:00:05.000000Z",
        int(ANSWERED * US),
        talk_us,
        8000,
        [],
        [Segment(0, to_us, "centre")],
        [],
        [],
        False,
        False,
        [],
        [],
        [],
        [],
        1,
        ObjectFacts(3, hashlib.sha256(b"abc").hexdigest()),
        "2027-01-15T08:10:00Z",
        packets=stretches,
        triggers=list(triggers),
    )
    data = sign_manifest(manifest, Ed25519PrivateKey.generate())
    (folder / f"{call_id}.manifest").write_bytes(data)
    (folder / f"{call_id}.header").write_bytes(b"header")
    (folder / f"{call_id}.payload").write_bytes(b"abc")
    return Sealed(
        call_id=call_id,
        folder="2026/11/25",
        started=ANSWERED,
        talk_us=talk_us,
        interrupted=False,
        number=None,
        line="Council Tax",
        advisor="sian",
        extension="201",
        gaps=(),
        payload_size=3,
        payload_sha256=manifest.payload.sha256,
        manifest_sha256=hashlib.sha256(data).hexdigest(),
    )


async def test_a_completely_recorded_call_has_no_unexplained_time(running, mair):
    await talk(running, FIRST, 60 * US)
    await running.seal(record(running, FIRST, 60 * US, 60 * US))
    found = (await mair.http.get(EVER)).json()
    assert (found["calls"], found["talk_us"], found["recorded_us"]) == (1, 60 * US, 60 * US)
    assert (found["unexplained_us"], found["amiss"], found["orphans"]) == (0, [], [])


async def test_packets_that_do_not_add_up_are_a_problem_and_alarm_once(running, mair):
    await talk(running, FIRST, 60 * US)
    await running.seal(record(running, FIRST, 60 * US, 60 * US, packets(501)))
    found = (await mair.http.get(EVER)).json()
    (call,) = found["amiss"]
    assert len(call["problems"]) == 1
    assert call["problems"][0].startswith(
        "caller, segment 0.0 s to 60.0 s: 501 packets received, but 500 stored or dropped: "
    )
    assert (found["unexplained_us"], found["silent"]) == (0, [])
    checker = running.desk.archive.coverage
    result = await checker.check(0, 1e12, None)
    assert await checker.new_findings(result) == [("recording.miscounted", FIRST)]
    assert await checker.new_findings(result) == []


async def test_packets_that_were_stored_in_a_pause_are_a_problem_and_alarm_once(running, mair):
    await talk(running, FIRST, 60 * US)
    (stretch,) = packets(500)
    leak = replace(stretch, gap="payment")
    await running.seal(record(running, FIRST, 60 * US, 60 * US, [leak]))
    (call,) = (await mair.http.get(EVER)).json()["amiss"]
    assert "payment gap 0.0 s to 60.0 s: 500 packets were stored: " in call["problems"][0]
    checker = running.desk.archive.coverage
    result = await checker.check(0, 1e12, None)
    assert await checker.new_findings(result) == [("recording.stored_in_gap", FIRST)]
    assert await checker.new_findings(result) == []


async def test_a_trigger_without_effect_is_a_problem_and_raises_an_alarm(running, mair):
    await talk(running, FIRST, 60 * US)
    trigger = TriggerFacts(20 * US, "dtmf", "phone:201", 0)
    await running.seal(record(running, FIRST, 60 * US, 60 * US, triggers=[trigger]))
    (call,) = (await mair.http.get(EVER)).json()["amiss"]
    assert call["problems"][0].startswith("a trigger (dtmf, phone:201) at 20.0 s had no effect: ")
    checker = running.desk.archive.coverage
    result = await checker.check(0, 1e12, None)
    assert await checker.new_findings(result) == [("recording.trigger_ignored", FIRST)]


async def test_the_findings_in_the_spool_of_a_live_call_are_problems(running, mair):
    running.switch.ring(FIRST)
    running.switch.answer(FIRST, "201", "sian")
    await has_entered(running, FIRST)
    stored = StoredInGap(0, 5 * US, "payment", "caller", 250)

    async def prove():
        return (SpoolProof(FIRST, ANSWERED, (stored,)), SpoolProof(SECOND, 1.0, (stored,)))

    checker = running.desk.archive.coverage
    checker._prove_spools = prove
    result = await checker.check(100.0, 1e12, [FIRST])
    (call,) = result.faulty_calls
    assert (call.call_id, call.problems, result.in_progress) == (FIRST, (str(stored),), 1)
    assert await checker.new_findings(result) == [("recording.stored_in_gap", FIRST)]
    (shown,) = (await mair.http.get(EVER)).json()["amiss"][:1]
    assert str(stored) in shown["problems"]


async def test_without_the_finaliser_calls_in_progress_are_reported_as_not_checked(running, mair):
    assert (await mair.http.get(EVER)).json()["spools_unread"] == ""
    running.switch.ring(FIRST)
    running.switch.answer(FIRST, "201", "sian")
    await has_entered(running, FIRST)
    found = (await mair.http.get(EVER)).json()
    assert (found["in_progress"], found["amiss"]) == (1, [])
    assert found["spools_unread"].startswith("the spools were not checked: the finaliser")


async def test_a_silent_party_is_listed_but_is_no_fault(running, mair):
    await talk(running, FIRST, 60 * US)
    await running.seal(record(running, FIRST, 60 * US, 60 * US, packets(500, heard=0)))
    found = (await mair.http.get(EVER)).json()
    assert found["amiss"] == []
    assert [(each["call_id"], each["channel"]) for each in found["silent"]] == [
        (FIRST, "caller"),
        (FIRST, "advisor"),
    ]
    assert found["silent"][0]["text"] == "500 packets received"
    assert (found["silent"][0]["from_us"], found["silent"][0]["to_us"]) == (0, 60 * US)


async def test_an_answered_call_without_a_recording_is_reported(running, mair):
    await talk(running, FIRST, 40 * US)
    (call,) = (await mair.http.get(EVER)).json()["amiss"]
    assert call["call_id"] == FIRST
    assert call["unexplained"] == [{"from_us": 0, "to_us": 40 * US, "reason": ""}]
    assert "its spool is not known" in call["problems"][0]
    await spools_left(running)
    (call,) = (await mair.http.get(EVER)).json()["amiss"]
    assert "neither recording nor spool" in call["problems"][0]


async def test_a_live_or_just_ended_call_is_not_reported(running, mair):
    running.switch.ring(FIRST)
    running.switch.answer(FIRST, "201", "sian")
    await has_entered(running, FIRST)
    await talk(running, SECOND, 40 * US)
    running.desk.archive.coverage.clock = lambda: 1_800_000_065.0 + 30
    found = (await mair.http.get(EVER)).json()
    assert (found["calls"], found["in_progress"], found["amiss"]) == (0, 2, [])
    running.desk.archive.coverage.clock = lambda: (
        1_800_000_065.0 - 86_400
    )  # a day before the call's end
    assert [call["call_id"] for call in (await mair.http.get(EVER)).json()["amiss"]] == [SECOND]


async def test_a_call_that_is_not_meant_to_be_recorded_is_not_reported(running, mair):
    running.switch.ring(FIRST)
    running.switch.answer(FIRST, "201", "sian")
    running.switch.ring(SECOND)
    running.switch.change(SECOND, state="answered", recording="not_started")
    # A consultation that is paused has this state although it is not to be recorded.
    running.switch.change(SECOND, recording="paused", recorded=False)
    await has_entered(running, FIRST)
    running.switch.calls.clear()
    await running.switch.stop()
    await running.switch.start()  # a new switch, which has neither call
    running.desk.archive.coverage.clock = itertools.count(ANSWERED + 3600, 700).__next__

    async def missed():
        return (await mair.http.get(EVER)).json()["amiss"]

    assert [call["call_id"] for call in await until(missed)] == [FIRST]


async def test_talk_time_after_the_end_of_the_recording_is_unexplained(running, mair):
    await talk(running, FIRST, 60 * US)
    await running.seal(record(running, FIRST, 50 * US, 45 * US))
    (call,) = (await mair.http.get(EVER)).json()["amiss"]
    assert [(s["from_us"], s["to_us"]) for s in call["unexplained"]] == [(45 * US, 60 * US)]


async def test_a_ledger_entry_that_the_database_refused_is_entered_later(running):
    ledger = running.desk.calls.ledger
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE answered_calls RENAME TO away")
    running.switch.ring(FIRST)
    running.switch.answer(FIRST, "201", "sian")

    async def refused():
        return bool(ledger.entries)

    await until(refused)
    with pytest.raises(AuditError):
        await running.desk.host.follower.flush()
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE away RENAME TO answered_calls")
    await running.stop()
    await running.start()
    await has_entered(running, FIRST)


async def test_two_writes_of_the_ledger_at_the_same_time_write_each_entry_once(running):
    ledger = running.desk.calls.ledger
    for number in range(3):
        ledger.ended(CallEnded(f"{FIRST}{number}", ANSWERED, True, 5 * US, for_ledger=True))
    await asyncio.gather(ledger.entries.flush(), ledger.entries.flush())
    async with running.desk.host.engine.connect() as connection:
        audited = "SELECT count(*) FROM audit_entries WHERE kind = 'call.ended'"
        entered = "SELECT count(*) FROM answered_calls"
        assert (await connection.exec_driver_sql(entered)).scalar() == 3
        assert (await connection.exec_driver_sql(audited)).scalar() == 3


async def test_the_switch_gets_a_confirmation_only_after_the_ledger_entry_is_stored(
    running, mair, monkeypatch
):
    """The desk was down during the call, and nothing of it was recorded."""
    monkeypatch.setattr("galwad.host.call_follower.RETRY_S", 0.05)
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE answered_calls RENAME TO away")
    for_ledger = CallEnded(FIRST, ANSWERED + 60, False, 55 * US, for_ledger=True)
    running.switch.link.send(for_ledger)

    async def waits():
        return bool(running.desk.calls.ledger.entries)

    await until(waits)
    with pytest.raises(AuditError):
        await running.desk.host.follower.flush()
    assert running.switch.of(LedgerHas) == []
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE away RENAME TO answered_calls")
    assert await running.switch.until(LedgerHas) == [LedgerHas((FIRST,))]
    running.switch.link.send(for_ledger)  # a repeated report changes nothing
    assert len(await running.switch.until(LedgerHas, 2)) == 2
    await spools_left(running)
    found = (await mair.http.get(EVER)).json()
    assert (found["calls"], found["unexplained_us"]) == (1, 55 * US)
    assert "neither recording nor spool" in found["amiss"][0]["problems"][0]


async def test_coverage_counts_only_the_requested_days(running, mair):
    await talk(running, FIRST, 40 * US)
    for words, calls in (("2027-01-14", 0), ("2027-01-15", 1), ("2027-01-16", 0)):
        found = await mair.http.get("/api/v1/coverage", params={"when": words})
        assert found.json()["calls"] == calls
    assert (await mair.http.get("/api/v1/coverage?when=sometime")).status_code == 422


async def test_coverage_is_for_supervisors(running):
    sian = await running.page("sian")
    assert (await sian.http.get(EVER)).status_code == 403


async def spools_left(running, *spools):
    reader, writer = await asyncio.open_unix_connection(running.settings.desk_socket)
    link = Link(reader, writer)
    link.send(Hello("finaliser", "0"))
    link.send(WaitingSpools(spools))

    async def told():
        checker = running.desk.archive.coverage
        return checker._knows_spools and len(checker._spools) == len(spools)

    await until(told)
    await link.close()


async def test_waiting_spools_explain_why_a_recording_is_missing(running, mair):
    await talk(running, FIRST, 40 * US)
    await spools_left(
        running,
        WaitingSpool(f"{FIRST}.1.spool", FIRST, ANSWERED, "recording.locked"),
        WaitingSpool(f"{SECOND}.1.spool", SECOND, ANSWERED),
    )
    found = (await mair.http.get(EVER)).json()
    assert f"{FIRST}.1.spool waits (recording.locked)" in found["amiss"][0]["problems"][0]
    kinds = {orphan["call_id"]: orphan["kind"] for orphan in found["orphans"]}
    assert kinds == {FIRST: "spool not sealed", SECOND: "spool without call"}


async def test_each_new_nightly_finding_alarms_once_and_each_check_is_audited(running, mair):
    await talk(running, FIRST, 40 * US)
    await running.seal(record(running, SECOND, 60 * US, 60 * US))
    (running.archive / "2026" / "11" / "25" / f"{SECOND}.payload").unlink()
    nightly = running.desk.archive.nightly
    nightly.clock = lambda: ANSWERED + 3600
    assert len((await nightly.check()).faulty_calls) == 1
    seen = {(alarm := await mair.event("alarm"))["kind"]: alarm["call_id"] for _ in range(2)}
    assert seen == {"recording.missing": FIRST, "archive.orphan": SECOND}
    alarms = running.desk.page.hub.last
    result = await nightly.check()
    assert (len(result.faulty_calls), len(result.orphans)) == (1, 1)
    assert running.desk.page.hub.last == alarms
    entry = await running.desk.host.audit.last("coverage.checked")
    assert (entry.facts["calls"], entry.facts["amiss"], entry.facts["orphans"]) == (2, 1, 1)
    assert (await verify(running.desk.host.engine, "galwad")).is_clean
    for _ in range(2):
        figures = running.desk.host.metrics.text().decode()
        assert "galwad_desk_calls_amiss 1.0" in figures
        assert "galwad_desk_orphans 1.0" in figures
        await running.stop()  # a restarted desk reads the figures from the audit
        await running.start()


async def test_at_most_1000_orphans_are_listed_and_the_rest_are_counted(running, mair):
    """A disk with half of the archive may not be mounted."""
    await running.seal(record(running, FIRST, 60 * US, 60 * US))
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
            "INSERT INTO recordings SELECT '20261124-101500-' || char(97 + i / 676, "
            "97 + i / 26 % 26, 97 + i % 26, 97, 97, 97, 97, 97), '2026/11/24', started, talk_us, "
            "interrupted, number, line, advisor, extension, payload_size, payload_sha256, "
            "manifest_sha256, unexplained_us, raw_size, salt FROM recordings, n"
        )
    found = (await mair.http.get("/api/v1/coverage?when=2026-11")).json()
    assert (len(found["orphans"]), found["more_orphans"]) == (1000, 500)
    await running.desk.archive.nightly.check()
    entry = await running.desk.host.audit.last("coverage.checked")
    assert entry.facts["orphans"] == 1500
    kind = running.desk.host.metrics.alarms.labels("archive.orphan")
    assert kind._value.get() == 1000


async def test_unexplained_time_alarmed_at_sealing_does_not_alarm_again_at_night(running, mair):
    await talk(running, FIRST, 60 * US)
    sealed = record(running, FIRST, 60 * US, 59 * US)
    await running.seal(msgspec.structs.replace(sealed, unexplained_us=US))
    assert (await mair.event("alarm"))["kind"] == "recording.unexplained"
    running.desk.archive.nightly.clock = lambda: ANSWERED + 3600
    before = running.desk.page.hub.last
    assert len((await running.desk.archive.nightly.check()).faulty_calls) == 1
    assert running.desk.page.hub.last == before


async def test_the_nightly_check_is_due_after_its_time_of_day(running):
    nightly = running.desk.archive.nightly
    nightly.started_at = at(10, 12)
    nightly.clock = lambda: at(11, 2)
    assert not await nightly.is_due()
    nightly.clock = lambda: at(11, 4)
    assert await nightly.is_due()


def replace_sleep(monkeypatch, sleep):
    """Let `sleep` take the place of asyncio's in the present task, not in those of the desk."""
    present, asleep = asyncio.current_task(), asyncio.sleep

    async def either(seconds):
        await (sleep if asyncio.current_task() is present else asleep)(seconds)

    replaced = SimpleNamespace(sleep=either, to_thread=asyncio.to_thread)
    monkeypatch.setattr("galwad.archive.periodic.asyncio", replaced)


async def test_a_nightly_check_that_failed_in_the_database_is_retried(running, monkeypatch):
    nightly = running.desk.archive.nightly
    turn(running, at(11, 4))
    nightly.started_at = at(10, 12)

    async def rename(before, after):
        async with running.desk.host.engine.begin() as connection:
            await connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")

    async def sleep(_):
        """Break the database at the first sleep, repair it at the second, then stop the loop."""
        if not (names := next(renamings, None)):
            raise asyncio.CancelledError
        await rename(*names)

    renamings = iter([("audit_entries", "away"), ("away", "audit_entries")])
    replace_sleep(monkeypatch, sleep)
    with pytest.raises(asyncio.CancelledError):
        await nightly.run()
    assert await running.desk.host.audit.last("coverage.checked") is not None


async def test_a_missed_nightly_check_runs_at_least_a_minute_after_the_start(running, monkeypatch):
    """At once after a start, calls whose spools are not reported yet would seem to be lost."""
    nightly = running.desk.archive.nightly
    turn(running, at(11, 4))
    nightly.started_at = at(10, 12)
    waited = []

    async def sleep(seconds):
        waited.append((seconds, await running.desk.host.audit.last("coverage.checked")))
        if len(waited) == 2:
            raise asyncio.CancelledError

    replace_sleep(monkeypatch, sleep)
    with pytest.raises(asyncio.CancelledError):
        await nightly.run()
    (first, before), (_, after) = waited
    assert first >= 60
    assert before is None
    assert after is not None


async def test_a_desk_that_was_off_for_several_nights_checks_all_of_these_nights(running):
    turn(running, at(10, 4))
    await running.desk.archive.nightly.check()
    await running.stop()
    await running.start()
    turn(running, at(17, 9))
    assert await running.desk.archive.nightly.is_due()
    await running.desk.archive.nightly.check()
    entry = await running.desk.host.audit.last("coverage.checked")
    assert (entry.facts["since"], entry.facts["until"]) == (at(9, 4), at(17, 9))
    assert not await running.desk.archive.nightly.is_due()


async def test_a_check_dated_years_ahead_does_not_block_later_checks(running):
    turn(running, at(10, 4))
    await running.desk.archive.nightly.check()
    turn(running, at(10, 12) + 4 * 365 * 86_400)
    assert await running.desk.archive.nightly.is_due()
    await running.desk.archive.nightly.check()
    turn(running, at(10, 13))
    assert not await running.desk.archive.nightly.is_due()
    turn(running, at(11, 4))
    assert await running.desk.archive.nightly.is_due()
    await running.desk.archive.nightly.check()
    entry = await running.desk.host.audit.last("coverage.checked")
    assert entry.facts["since"] == at(9, 4)
    assert not await running.desk.archive.nightly.is_due()
    turn(running, at(12, 4))
    assert await running.desk.archive.nightly.is_due()


async def test_a_desk_started_with_its_clock_ahead_checks_the_next_night(running):
    running.desk.archive.nightly.started_at = at(10, 12) + 4 * 365 * 86_400
    turn(running, at(10, 12))
    assert not await running.desk.archive.nightly.is_due()
    turn(running, at(11, 4))
    assert await running.desk.archive.nightly.is_due()


def turn(running, now):
    """Set every clock of the desk to this time."""
    desk = running.desk
    desk.archive.nightly.clock = desk.archive.coverage.clock = desk.host.audit.clock = lambda: now


def at(day, hour):
    return datetime(2026, 6, day, hour).astimezone().timestamp()


def test_the_next_check_is_tomorrow_once_todays_time_is_past():
    assert next_time("03:00", at(10, 1)) == at(10, 3)
    assert next_time("03:00", at(10, 3)) == at(11, 3)
    assert next_time("03:00", at(30, 4)) == datetime(2026, 7, 1, 3).astimezone().timestamp()


def test_the_check_keeps_its_local_hour_when_the_clocks_change():
    london = ZoneInfo("Europe/London")
    evening = datetime(2026, 10, 24, 23, tzinfo=london).timestamp()
    assert next_time("03:00", evening, london) == evening + 5 * 3600
