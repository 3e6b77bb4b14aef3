"""The promises of the notice: a clean day keeps them all, and each kind of sabotage breaks its own.

The data are real: a desk with its database, pauses over the API, sealed files in an archive. Each
test damages one thing, and runs `galwad promise-check` against the desk.

Covers `galwad/archive/proof_routes.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from galwad.cli import main
from galwad.messages import CallEnded, Sealed
from helpers.desk import PASSWORD, Running
from helpers.recording.sealing import seal
from recording.age.file import Identity
from recording.archive import verify
from recording.archive.accounting import balance
from recording.archive.commitments import commit
from recording.archive.manifest import (
    FORMAT,
    Gap,
    Manifest,
    PacketStretch,
    PartyPackets,
    Segment,
    TriggerFacts,
    sign_manifest,
)
from recording.archive.summary import PersonalFacts
from recording.audit.index_comparison import CARD_PREVENTION

US = 1_000_000
TALK_US = 600 * US
FACTS: dict[str, Any] = {
    "number": "+441970000001",
    "line": "Council Tax",
    "advisor": "sian",
    "extension": "201",
    "later_callers": (),
    "later_advisors": (),
}
SALT = bytes(range(32))
PAUSE = Gap(80 * US, 125 * US, "payment", "page", "user:sian")
TRANSFER = Gap(500 * US, 600 * US, "transfer", "refer", "phone:201")


@dataclass
class Day:
    """A day of one desk, on which recordings are made and promises are checked."""

    running: Running
    capsys: pytest.CaptureFixture[str]
    calls: int = 0

    async def call(
        self, *gaps, segments=None, talk_us=TALK_US, ledger=True, packets=None, triggers=()
    ):
        """An answered call of twenty minutes ago, archived as the finaliser archives it."""
        started_us = round((time.time() - 1200) * US)
        call_id = self.next_id()
        running = self.running
        if ledger:
            entry = CallEnded(call_id, (started_us + talk_us) / US, True, talk_us, for_ledger=True)
            await self.end(entry, started_us / US)
        if segments is None:
            segments = self.between(gaps, talk_us)
        unexplained = balance(talk_us, segments, gaps).unaccounted
        key = Identity.generate()
        header, payload = seal(b"sound" * 4000, key.recipient)
        folder = f"{call_id[:4]}/{call_id[4:6]}/{call_id[6:8]}"
        facts = {
            **{key: [] for key in ("tracks", "faults", "lives", "clock", "recipients")},
            "format": FORMAT,
            "call_id": call_id,
            "node": "galwad",
            "software": "test",
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_us / US)),
            "started_us": started_us,
            "talk_us": talk_us,
            "rate": 8000,
            "segments": [msgspec.to_builtins(each) for each in segments],
            "gaps": [msgspec.to_builtins(each) for each in gaps],
            "unexplained": [msgspec.to_builtins(each) for each in unexplained],
            "interrupted": False,
            "damaged": False,
            "recipients_serial": 1,
            "payload": {"size": len(payload), "sha256": hashlib.sha256(payload).hexdigest()},
            "header": {"size": len(header), "sha256": hashlib.sha256(header).hexdigest()},
            "sealed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "index": commit(call_id, PersonalFacts(**FACTS, salt=SALT.hex())),
            "packets": packets,
            "triggers": list(triggers),
        }
        manifest = sign_manifest(msgspec.convert(facts, Manifest), Ed25519PrivateKey.generate())
        place = running.archive / folder
        place.mkdir(parents=True, exist_ok=True)
        for suffix, data in (("header", header), ("payload", payload), ("manifest", manifest)):
            (place / f"{call_id}.{suffix}").write_bytes(data)
        sealed = Sealed(
            call_id=call_id,
            folder=folder,
            started=started_us / US,
            talk_us=talk_us,
            interrupted=False,
            number=FACTS["number"],
            line=FACTS["line"],
            advisor=FACTS["advisor"],
            extension=FACTS["extension"],
            gaps=tuple(gaps),
            payload_size=len(payload),
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            manifest_sha256=hashlib.sha256(manifest).hexdigest(),
            salt=SALT.hex(),
            unexplained_us=sum(each.length_us for each in unexplained),
        )
        assert (await running.seal(sealed)).call_id == call_id
        return call_id

    def next_id(self):
        self.calls += 1
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() - 1210))
        return f"{stamp}-abcdefg{'abcdefgh'[self.calls]}"

    def between(self, gaps, talk_us):
        """The segments that fill the talk time between the gaps."""
        edges, segments = 0, []
        for gap in sorted(gaps):
            segments.append(Segment(edges, gap.from_us, "centre"))
            edges = gap.to_us
        segments.append(Segment(edges, talk_us, "centre"))
        return [each for each in segments if each.length_us]

    async def end(self, entry, answered):
        """Enter a call into the ledger, as the switch reports it."""
        running = self.running
        running.desk.calls.ledger.ended(entry)
        await running.desk.host.follower.flush()
        async with running.desk.host.engine.begin() as connection:
            await connection.exec_driver_sql(
                "UPDATE answered_calls SET answered = ? WHERE call_id = ?",
                (answered, entry.call_id),
            )

    async def sql(self, statement, *values):
        async with self.running.desk.host.engine.begin() as connection:
            await connection.exec_driver_sql(statement, values)

    def path(self, call_id, suffix):
        folder = self.running.archive / call_id[:4] / call_id[4:6] / call_id[6:8]
        return folder / f"{call_id}.{suffix}"

    async def run(self, *options):
        """Run the command, and return its status, output and errors."""
        arguments = [
            "promise-check",
            "--date",
            "last 2 days",
            "--server",
            self.running.url,
            *options,
        ]
        status = await asyncio.to_thread(main.run, arguments)
        done = self.capsys.readouterr()
        return status, done.out, done.err

    async def check(self):
        """Run the command, and return its status, the broken promises, and the whole report."""
        status, out, _ = await self.run("--json")
        report = json.loads(out[out.index("{\n") :])
        promises = {each["name"]: each for each in report["promises"]}
        broken = [name for name, each in promises.items() if each["verdict"] == "broken"]
        assert report["kept"] == (not broken)
        return status, broken, promises


@pytest.fixture
async def day(running, capsys, monkeypatch, tmp_path):
    """A day on which mair, a supervisor, checks the promises."""
    monkeypatch.setattr(verify, "QUIET_S", 0.0)  # no wait for files that a test has just damaged
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    client = running.client()
    answer = await client.post(
        "/api/v1/login", json={"user": "mair", "password": PASSWORD, "client": "cli"}
    )
    monkeypatch.setenv("GALWAD_TOKEN", answer.json()["token"])
    return Day(running, capsys)


async def test_a_clean_day_keeps_every_promise_with_status_0(day):
    await day.call()
    await day.call(PAUSE, TRANSFER)
    status, broken, promises = await day.check()
    assert (status, broken) == (0, [])
    assert promises.pop("disclosures")["verdict"] == "no-evidence"
    assert {each["verdict"] for each in promises.values()} == {"kept"}
    recorded = promises["recorded"]["evidence"]
    assert (recorded["calls"], recorded["recordings"], recorded["missing"]) == (2, 2, 0)
    assert (recorded["talk_us"], recorded["recorded_us"]) == (1200 * US, 1055 * US)
    payments = promises["payments"]["evidence"]
    assert (payments["pauses"], payments["pauses_page"], payments["paused_us"]) == (1, 1, 45 * US)
    transfers = promises["transfers"]["evidence"]
    assert (transfers["transfers"], transfers["transferred_us"]) == (1, 100 * US)
    intact = promises["intact"]["evidence"]
    assert (intact["verified"], intact["not_committed"], intact["audit_problems"]) == (2, 0, 0)
    assert intact["audit_entries"] > 0
    last = await day.running.desk.host.audit.last("promises.checked")
    assert last is not None


async def test_a_day_without_calls_has_no_evidence_and_status_0(day):
    status, broken, promises = await day.check()
    assert (status, broken) == (0, [])
    assert {each["verdict"] for each in promises.values()} == {"no-evidence"}


async def test_a_call_without_a_recording_breaks_the_promise_of_recording_only(day):
    await day.call()
    call_id = day.next_id()
    answered = time.time() - 1200
    entry = CallEnded(call_id, answered + 60, True, 60 * US, for_ledger=True)
    await day.end(entry, answered)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["recorded"])
    (finding,) = promises["recorded"]["findings"]
    assert (finding["kind"], finding["call_id"], finding["us"]) == ("missing", call_id, 60 * US)


async def test_unexplained_seconds_break_the_promise_of_recording_only(day):
    await day.call(segments=[Segment(0, 595 * US, "centre")])
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["recorded"])
    (finding,) = promises["recorded"]["findings"]
    assert (finding["kind"], finding["us"]) == ("unexplained", 5 * US)


async def test_a_fault_breaks_the_promise_of_recording_only(day):
    await day.call(Gap(80 * US, 125 * US, "fault", "storage", "system"))
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["recorded"])
    evidence = promises["recorded"]["evidence"]
    assert (evidence["faults"], evidence["fault_us"], evidence["unexplained_us"]) == (1, 45 * US, 0)


async def test_packets_that_do_not_add_up_break_the_promise_of_recording_only(day):
    parties = [
        PartyPackets(channel, count, 0, 0, 500, {}, 0, 500, 0, 500, 0, 0)
        for channel, count in (("caller", 501), ("advisor", 500))
    ]
    stretch = PacketStretch(0, TALK_US, "", True, parties)
    await day.call(packets=[msgspec.to_builtins(stretch)])
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["recorded"])
    (finding,) = promises["recorded"]["findings"]
    assert finding["kind"] == "miscounted"
    assert "501 packets received, but 500 stored or dropped" in finding["text"]


@pytest.mark.parametrize(
    ("gap", "promise", "kind", "evidence"),
    [
        (PAUSE, "payments", "stored_in_pause", "packets_in_pauses"),
        (TRANSFER, "transfers", "stored_after", "packets_after"),
    ],
)
async def test_packets_stored_in_a_pause_or_transfer_break_the_promise_about_it(
    day, gap, promise, kind, evidence
):
    parties = [PartyPackets("caller", 107, 0, 0, 107, {}, 0, 107, 0, 0, 0, 0)]
    stretch = PacketStretch(gap.from_us, gap.to_us, gap.reason, True, parties)
    await day.call(gap, packets=[msgspec.to_builtins(stretch)])
    status, broken, promises = await day.check()
    assert (status, broken) == (1, [promise])
    (finding,) = promises[promise]["findings"]
    assert (finding["kind"], promises[promise]["evidence"][evidence]) == (kind, 107)
    assert "107 packets were stored" in finding["text"]


@pytest.mark.parametrize(
    ("trigger", "promise"), [("phone", "payments"), ("dtmf", "payments"), ("refer", "transfers")]
)
async def test_a_trigger_without_effect_breaks_the_promise_of_its_kind(day, trigger, promise):
    fact = TriggerFacts(300 * US, trigger, "phone:201", 0)
    await day.call(PAUSE, triggers=[msgspec.to_builtins(fact)])
    status, broken, promises = await day.check()
    assert (status, broken) == (1, [promise])
    (finding,) = promises[promise]["findings"]
    assert finding["kind"] == "trigger_ignored"
    assert "at 300.0 s had no effect" in finding["text"]


async def test_a_trigger_with_its_gap_breaks_no_promise(day):
    fact = TriggerFacts(PAUSE.from_us, PAUSE.trigger, PAUSE.actor, 0)
    await day.call(PAUSE, triggers=[msgspec.to_builtins(fact)])
    status, broken, promises = await day.check()
    assert (status, broken) == (0, [])
    assert promises["payments"]["evidence"]["triggers"] == 1


async def test_a_card_number_outside_a_pause_breaks_the_promise_of_payments_only(day):
    card = Gap(300 * US, 310 * US, "captured-card", "tones", "system")
    call_id = await day.call(card)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["payments"])
    evidence = promises["payments"]["evidence"]
    assert (evidence["captured_cards"], evidence["captured_cards_open"]) == (1, 1)
    await day.running.desk.archive.captured_cards.close(call_id, "none", "a key", time.time())
    assert (await day.check())[:2] == (1, ["payments", "intact"])  # the audit knows no prevention
    personal = {"actor": "user:ann", "missing_trigger": "none", "changed": "a key"}
    await day.running.desk.host.audit.append(CARD_PREVENTION, {"call_id": call_id}, personal)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["payments"])
    assert promises["payments"]["evidence"]["captured_cards_open"] == 0


@pytest.mark.parametrize("by", ["call_id", "extension"])
async def test_a_pause_in_the_audit_without_a_gap_breaks_the_promise_of_payments_only(day, by):
    call_id = await day.call(PAUSE)
    audit = day.running.desk.host.audit
    started = (await day.running.desk.archive.catalogue.get(call_id)).started
    calls = {"call_id": call_id} if by == "call_id" else {"call_id": "", "calls": f"x {call_id}"}
    facts, personal = {"extension": "201", **calls}, {"actor": "user:sian"}
    await audit.append("payment.pause", facts, personal, at=started + 81)
    assert (await day.check())[:2] == (0, [])
    await audit.append("payment.pause", facts, personal, at=started + 300)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["payments"])
    (finding,) = promises["payments"]["findings"]
    assert (finding["kind"], finding["call_id"]) == ("pause_ignored", call_id)
    assert finding["us"] == pytest.approx((started + 300) * US, abs=2)


async def test_silenced_digits_break_no_promise_and_do_not_count_as_the_gap_of_a_pause(day):
    call_id = await day.call(Gap(300 * US, 304 * US, "erased", "tones", "system"))
    assert (await day.check())[:2] == (0, [])
    started = (await day.running.desk.archive.catalogue.get(call_id)).started
    facts, personal = {"call_id": call_id, "extension": ""}, {"actor": "user:sian"}
    await day.running.desk.host.audit.append("payment.pause", facts, personal, at=started + 305)
    assert (await day.check())[:2] == (1, ["payments"])


async def test_sound_recorded_in_a_pause_breaks_the_promise_of_payments(day):
    await day.call(
        PAUSE, segments=[Segment(0, 100 * US, "centre"), Segment(125 * US, TALK_US, "centre")]
    )
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["recorded", "payments"])
    assert promises["payments"]["evidence"]["recorded_in_pause_us"] == 20 * US


async def test_forgotten_pauses_are_counted_and_break_no_promise(day):
    await day.call(Gap(80 * US, 230 * US, "payment", "phone", "phone:201"))
    await day.call(Gap(200 * US, TALK_US, "payment", "api", "token:pay"))
    await day.call(Gap(100 * US, TALK_US, "payment", "refer", "phone:201"))
    status, broken, promises = await day.check()
    assert (status, broken) == (0, [])
    evidence = promises["payments"]["evidence"]
    assert (evidence["pauses"], evidence["longest_pause_us"]) == (3, 500 * US)
    assert (evidence["pauses_over_reminder"], evidence["pauses_over_alarm"]) == (2, 1)
    assert evidence["pauses_to_the_end"] == 1


async def test_transfers_on_the_page_are_counted_and_are_no_forgotten_pauses(day):
    await day.call(Gap(500 * US, TALK_US, "transfer", "page-transfer", "user:sian"))
    await day.call(Gap(100 * US, TALK_US, "payment", "page-transfer", "user:sian"))
    status, broken, promises = await day.check()
    assert (status, broken) == (0, [])
    assert promises["transfers"]["evidence"]["transfers_page_transfer"] == 1
    evidence = promises["payments"]["evidence"]
    assert evidence["pauses_page_transfer"] == 1
    assert evidence["pauses_over_reminder"] == evidence["pauses_to_the_end"] == 0


@pytest.mark.parametrize("destination", ["department", "external", "unknown"])
async def test_a_recorded_second_after_a_transfer_breaks_the_promise_of_transfers_only(
    day, destination
):
    await day.call(
        Gap(500 * US, 599 * US, "transfer", "refer", "phone:201"),
        segments=[Segment(0, 500 * US, "centre"), Segment(599 * US, TALK_US, destination)],
    )
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["transfers"])
    assert promises["transfers"]["evidence"]["recorded_after_us"] == US


@pytest.mark.parametrize("suffix", ["payload", "header"])
async def test_a_changed_byte_of_a_recording_breaks_the_promise_of_integrity_only(day, suffix):
    await day.call()
    call_id = await day.call()
    path = day.path(call_id, suffix)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["intact"])
    (finding,) = promises["intact"]["findings"]
    assert (finding["kind"], finding["call_id"]) == ("changed", call_id)
    assert suffix in finding["text"]


async def test_a_deleted_payload_breaks_the_promise_of_integrity_only(day):
    call_id = await day.call()
    day.path(call_id, "payload").unlink()
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["intact"])
    assert promises["intact"]["evidence"]["changed_recordings"] == 1


async def test_a_changed_number_in_the_index_breaks_the_promise_of_integrity_only(day):
    call_id = await day.call()
    await day.sql("UPDATE recordings SET number = ? WHERE call_id = ?", "+441632960009", call_id)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["intact"])
    (finding,) = promises["intact"]["findings"]
    assert finding["kind"] == "changed_row"
    assert "number" in finding["text"]


async def test_a_row_with_a_path_as_its_call_id_breaks_the_promise_of_integrity(day):
    call_id = await day.call()
    await day.sql(
        "UPDATE recordings SET call_id = '../../../etc/shadow' WHERE call_id = ?", call_id
    )
    status, broken, promises = await day.check()
    assert status == 1
    assert "intact" in broken
    named = [each for each in promises["intact"]["findings"] if "shadow" in each["call_id"]]
    assert any("its call id" in each["text"] for each in named)


async def test_a_deleted_ledger_entry_breaks_the_promise_of_integrity_only(day):
    call_id = await day.call()
    await day.sql("DELETE FROM answered_calls")
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["intact"])
    (finding,) = promises["intact"]["findings"]
    assert (finding["kind"], finding["call_id"]) == ("changed_row", call_id)


async def test_a_deleted_row_breaks_the_promises_of_recording_and_of_integrity(day):
    """The ledger has the call, and the archive has files that no row names."""
    await day.call()
    await day.sql("DELETE FROM recordings")
    # A younger file or audit entry may be of a recording that is not indexed yet.
    day.running.desk.archive.coverage.clock = lambda: time.time() + 3600
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["recorded", "intact"])
    assert {each["kind"] for each in promises["intact"]["findings"]} == {"changed_row", "orphan"}
    assert promises["recorded"]["evidence"]["missing"] == 1


@pytest.mark.parametrize(
    "sabotage",
    [
        "UPDATE audit_entries SET body = replace(body, '.indexed', '.INDEXED')",
        "DELETE FROM audit_entries WHERE seq = (SELECT min(seq) + 1 FROM audit_entries)",
        "DELETE FROM audit_entries WHERE seq = (SELECT max(seq) - 2 FROM audit_entries)",
        "DELETE FROM audit_entries WHERE seq < (SELECT max(seq) - 1 FROM audit_entries)",
    ],
    ids=["changed", "second deleted", "last deleted", "all deleted"],
)
async def test_a_changed_or_deleted_audit_entry_breaks_the_promise_of_integrity_only(day, sabotage):
    """The last two entries, of which the first is a day key, are after the period."""
    await day.call()
    audit = day.running.desk.host.audit
    audit.clock = lambda: time.time() + 3 * 86400
    await audit.append("settings.changed")
    await day.sql(sabotage)
    status, broken, promises = await day.check()
    assert (status, broken) == (1, ["intact"])
    assert promises["intact"]["evidence"]["audit_problems"] > 0


async def test_a_damaged_manifest_breaks_the_promises_of_recording_and_of_integrity(day):
    """Nothing proves any more what was recorded."""
    call_id = await day.call(PAUSE)
    path = day.path(call_id, "manifest")
    path.write_bytes(path.read_bytes().replace(b'"page"', b'"pagd"'))
    status, broken, _ = await day.check()
    assert (status, broken) == (1, ["recorded", "intact"])


async def test_damage_of_another_day_breaks_no_promise_of_the_checked_day(day):
    call_id = await day.call()
    day.path(call_id, "payload").unlink()
    day.capsys.readouterr()
    arguments = ["promise-check", "--date", "2026-01-05", "--server", day.running.url, "--json"]
    assert await asyncio.to_thread(main.run, arguments) == 0


async def test_the_text_and_the_page_of_a_broken_day_name_the_finding(day, tmp_path):
    call_id = await day.call(Gap(300 * US, 310 * US, "captured-card", "tones", "system"))
    status, out, err = await day.run("--language", "en")
    assert status == 1
    assert f"!  {call_id}: a card number was keyed outside a pause" in out
    assert "Verdict: BROKEN" in out
    assert "Promises that are broken: 1" in err
    status, _, _ = await day.run("--language", "cy", "--html", str(tmp_path / "day.html"))
    assert status == 1
    page = (tmp_path / "day.html").read_text()
    assert '<html lang="cy">' in page
    assert "allweddwyd rhif cerdyn y tu allan i saib" in page


async def test_the_check_is_for_supervisors_and_refuses_unreadable_days(day):
    sian, mair = await day.running.page("sian"), await day.running.page("mair")
    assert (await sian.http.get("/api/v1/promises")).status_code == 403
    assert (await mair.http.get("/api/v1/promises?when=sometime")).status_code == 422


async def test_a_database_that_cannot_be_read_gives_status_2_and_no_verdict(day):
    await day.call()
    await day.sql("ALTER TABLE answered_calls RENAME TO away")
    status, out, err = await day.run("--json")
    assert status == 2
    assert '"kept"' not in out
    assert err.startswith("error: ") or "\nerror: " in err
