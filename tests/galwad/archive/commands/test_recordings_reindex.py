"""`galwad recordings reindex`: lost rows of the index come back from signed manifests.

Covers `galwad/archive/reindex.py` and `galwad/cli/support/console.py`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

import httpx2
import msgspec
import pytest

from galwad.finaliser.sealer import sealed_message
from galwad.messages import Sealed
from helpers.cli import index_agrees
from helpers.examples import long_after
from helpers.house import House
from helpers.site import LATER_US, NUMBER, Site
from recording.archive.call_facts import CallFacts
from recording.archive.commitments import open_facts
from recording.archive.manifest import read_manifest
from recording.archive.store import sealed_recording
from recording.archive.summary import LaterCaller
from recording.audit.index_comparison import FACTS_ERASED
from recording.keys.keyring import OfficerKeys, RecipientSet

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
WHY = ("--reference", "RESTORE-1")


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Three recordings whose rows are lost, and gwen, an administrator, signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(*CALLS)
        house.restart()  # first let the finaliser repeat reports that the desk has not confirmed
        forget(house, *CALLS)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        yield house


def forget(house, *call_ids):
    """Delete the rows of these calls, as if the database were restored from an older backup."""
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
        for table in (
            *("recording_gap_reasons", "gaps", "later_callers"),
            *("recording_disposals", "recordings"),
        ):
            for call_id in call_ids:
                connection.execute(f"DELETE FROM {table} WHERE call_id = ?", (call_id,))
        connection.commit()


def files(house):
    archive = house.site.settings.archive
    return {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}


def listed(run):
    return {row["call_id"]: row for row in run("recordings", "list", "--json").json()["rows"]}


def test_reindex_restores_lost_rows_and_shows_unknown_fields(run, house):
    before = files(house)
    assert listed(run) == {}
    done = run("recordings", "reindex", *WHY)
    assert done.status == 0, done.err
    assert [line[:24] for line in done.out.splitlines() if "indexed: " in line] == CALLS
    assert f"{CALLS[0]}  indexed: " in done.out
    assert "0:02 of talk, caller unknown" in done.out
    rows = listed(run)
    assert sorted(rows) == CALLS
    row = rows[CALLS[0]]
    assert (row["named"], row["number"], row["line"], row["talk_s"]) == (False, None, "", 2.0)
    assert files(house) == before
    shown = run("recordings", "list").out
    assert shown.count("unknown") == 9
    assert "caller, line and advisor unknown" in run("recordings", "show", CALLS[0]).out
    for call_id in CALLS:
        assert index_agrees(run("recordings", "verify", call_id))


def test_reindex_adds_its_user_and_the_manifest_digest_to_the_audit(run, house):
    run("recordings", "reindex", CALLS[1], *WHY)
    (asked, facts), (chained, digest) = house.audit()[-2:]
    assert (asked, chained) == ("recording.reindexed", "recording.indexed")
    assert (facts["actor"], facts["reference"]) == ("user:gwen", "RESTORE-1")
    assert facts["call_id"] == digest["call_id"] == CALLS[1]
    assert facts["manifest_sha256"] == digest["manifest_sha256"]
    public = (house.site.settings.archive / "galwad.pub").read_text().strip()
    assert facts["node_key"] == public


def test_a_second_reindex_changes_nothing(run, house):
    run("recordings", "reindex", *WHY)
    count = len(house.audit())
    assert run("recordings", "reindex", *WHY).out == (
        "Every recording in the archive has its row.\n"
    )
    again = run("recordings", "reindex", CALLS[0], *WHY, "--json").json()
    assert [row["state"] for row in again["recordings"]] == ["known"]
    assert len(house.audit()) == count


def test_reindex_without_corrected_facts_keeps_an_existing_row(run, house):
    """A row with the caller's number must not be replaced by one without it."""
    run("recordings", "reindex", CALLS[0], *WHY)
    row = house.do(house.desk.archive.catalogue.get(CALLS[0]))
    fields = {name: getattr(row, name) for name in Sealed.__struct_fields__ if hasattr(row, name)}
    assert (
        house.do(house.desk.archive.indexer.reindex(Sealed(**{**fields, "line": "Other"}))) is False
    )
    assert house.do(house.desk.archive.catalogue.get(CALLS[0])) == row


def test_a_dry_run_of_reindex_checks_recordings_and_writes_nothing(run, house):
    count = len(house.audit())
    done = run("recordings", "reindex", *WHY, "--dry-run", "--json").json()
    assert [row["state"] for row in done["recordings"]] == ["provable"] * 3
    assert len(house.audit()) == count
    assert listed(run) == {}


@pytest.mark.parametrize(
    ("suffix", "why"),
    [
        ("payload", "the payload was changed"),
        ("header", "the header is damaged"),
        ("manifest", "the manifest is malformed"),
    ],
)
def test_a_damaged_recording_is_not_reindexed_but_the_others_are(run, house, suffix, why):
    path = house.path(CALLS[1], suffix)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    done = run("recordings", "reindex", *WHY)
    assert done.status == 1
    assert f"{CALLS[1]}  NOT INDEXED: {why}" in done.out
    assert done.err.startswith("error: 1 of 3 recordings got no row\n")
    assert sorted(listed(run)) == [CALLS[0], CALLS[2]]


def test_reindex_accepts_another_nodes_key_only_if_it_is_given(run, house):
    former = (house.site.settings.archive / "galwad.pub").read_text().strip()
    (house.site.root / "state" / "finaliser" / "manifest.key").unlink()
    house.restart()
    server = ("--server", house.url)
    done = run("recordings", "reindex", CALLS[0], *WHY, *server)
    assert "NOT INDEXED: the manifest is signed by another node's key" in done.out
    done = run("recordings", "reindex", CALLS[0], *WHY, "--node-key", former, *server)
    assert done.status == 0, done.out
    assert house.audit()[-2][1]["node_key"] == former


def test_a_header_rewrapped_by_a_former_officer_needs_their_public_key(run, house, tmp_path):
    run("recordings", "reindex", CALLS[0], *WHY)
    keys = tmp_path / "identity.txt"
    house.site.officer.save(keys)
    named = [("Officer", house.site.officer.identity.recipient)] * 2
    house.site.recipients.write_bytes(RecipientSet.of(named, 2).sign(house.site.officer.signing))
    assert run("keys", "rewrap", keys, "--reference", "K").status == 0
    forget(house, CALLS[0])
    assert run("recordings", "reindex", CALLS[0], *WHY, "--dry-run").status == 0
    former = house.site.officer.public_key
    house.site.config.write_text(
        house.site.config.read_text().replace(former, OfficerKeys.generate().public_key)
    )
    house.restart()
    server = ("--server", house.url)
    done = run("recordings", "reindex", CALLS[0], *WHY, *server)
    assert done.status == 1
    done = run("recordings", "reindex", CALLS[0], *WHY, "--officer-key", former, *server)
    assert done.status == 0, done.out


def test_a_disposed_recording_is_reindexed_as_disposed(run, house):
    why = ("--reason", "retention", "--reference", "R-2026", "--yes")
    run("recordings", "reindex", CALLS[0], *WHY)
    assert run("recordings", "purge", CALLS[0], *why).status == 0
    house.path(CALLS[0], "payload").unlink()
    forget(house, CALLS[0])
    done = run("recordings", "reindex", CALLS[0], *WHY)
    assert done.status == 0, done.out
    assert ", disposed of" in done.out
    assert listed(run)[CALLS[0]]["custody"] == "disposed"
    custody = house.do(house.desk.archive.custodian.one(CALLS[0]))
    assert custody.reason == "retention"


def test_a_recording_whose_spool_still_exists_is_not_reindexed(run, house):
    """The finaliser will index it from the spool, which still has the caller's number."""
    spool = house.site.spool / f"{CALLS[0]}.1.spool"
    spool.write_bytes(b"whatever")
    done = run("recordings", "reindex", CALLS[0], *WHY)
    assert "NOT INDEXED: its spool still exists" in done.out


def test_only_an_administrator_may_reindex(run, house, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", house.token("mair", "supervisor"))
    for arguments in ((), (CALLS[0],)):
        done = run("recordings", "reindex", *arguments, *WHY)
        assert done.err.startswith("error: only the recording administrator may do this\n")
    assert run("recordings", "reindex", "--reference", " ").status == 2
    assert run("recordings", "reindex", "../../etc", *WHY).status == 2


def test_reindex_without_the_finaliser_changes_nothing(run, house):
    house.do(house.desk.archive.socket.stop())
    done = run("recordings", "reindex", *WHY)
    assert done.err.startswith("error: the finaliser cannot be reached\n")
    assert listed(run) == {}


@pytest.fixture
def identity(house, tmp_path):
    """The officer's identity file."""
    path = tmp_path / "identity.txt"
    house.site.officer.save(path)
    return path


def test_reindex_with_an_identity_restores_the_facts_about_people(run, house, identity):
    before = files(house)
    done = run("recordings", "reindex", *WHY, "--identity", identity)
    assert done.status == 0, done.err
    assert "caller unknown" not in done.out
    for row in listed(run).values():
        assert (row["number"], row["line"]) == (NUMBER, "main")
        assert (row["advisor"], row["extension"]) == ("sian", "201")
    assert files(house) == before
    restored = [facts for kind, facts in house.audit() if kind == "recording.facts-restored"]
    assert [facts["call_id"] for facts in restored] == CALLS
    assert {facts["actor"] for facts in restored} == {"user:gwen"}
    assert NUMBER not in str(restored)
    assert index_agrees(run("recordings", "verify"))
    found = run("recordings", "list", "--number", NUMBER, "--json").json()["rows"]
    assert len(found) == len(CALLS)


def test_reindex_with_an_identity_restores_the_later_callers_and_refuses_others(
    run, house, identity
):
    """The desk refuses later callers that are not those that were sealed."""
    call_id, other = "20260301-091500-abcdefgh", "+441970000912"
    house.record(call_id, later_caller=other)
    right = house.do(house.desk.archive.catalogue.get(call_id))
    assert right.later_callers == (LaterCaller(LATER_US, other),)
    rewrite(house, "number = '+441970000000'", call_id, "later_callers")
    assert "do not agree on its later callers" in run("recordings", "verify", call_id).out
    forget(house, call_id)
    run("recordings", "reindex", call_id, *WHY)
    row = house.do(house.desk.archive.catalogue.get(call_id))
    assert (row.has_personal_facts, row.later_callers) == (False, ())
    manifest = read_manifest(house.path(call_id, "manifest").read_bytes())
    header = house.path(call_id, "header").read_bytes()
    facts = open_facts(manifest, header, [house.site.officer.identity])
    url = f"{house.url}/api/v1/recordings/{call_id}/facts"
    headers = {"Authorization": f"Bearer {os.environ['GALWAD_TOKEN']}"}
    changed = [{"from_us": LATER_US, "number": NUMBER, "withheld": False}]
    for callers in ([], changed, changed * 2):
        body = {"reference": "R", **msgspec.to_builtins(facts), "later_callers": callers}
        assert httpx2.put(url, json=body, headers=headers).status_code == 409
    assert run("recordings", "reindex", call_id, *WHY, "--identity", identity).status == 0
    assert house.do(house.desk.archive.catalogue.get(call_id)) == right
    assert index_agrees(run("recordings", "verify", call_id))


def test_rows_without_facts_get_them_from_a_later_reindex_with_an_identity(run, house, identity):
    run("recordings", "reindex", *WHY)
    assert not any(row["named"] for row in listed(run).values())
    assert run("recordings", "reindex", CALLS[2], *WHY, "--identity", identity).status == 0
    assert [row["named"] for row in listed(run).values()] == [True, False, False]
    done = run("recordings", "reindex", *WHY, "--identity", identity, "--json")
    assert [row["call_id"] for row in done.json()["recordings"]] == CALLS[1::-1]
    assert all(row["named"] for row in listed(run).values())
    count = len(house.audit())
    done = run("recordings", "reindex", *WHY, "--identity", identity)
    assert done.out == "Every recording in the archive has its row.\n"
    assert len(house.audit()) == count + 1  # the search


def test_an_identity_that_is_not_a_recipient_restores_no_facts(run, house, tmp_path):
    other = tmp_path / "other.txt"
    OfficerKeys.generate().save(other)
    done = run("recordings", "reindex", CALLS[0], *WHY, "--identity", other)
    assert done.status == 1
    assert f"{CALLS[0]}  NOT RESTORED: " in done.out
    assert done.err.startswith("error: 1 of 1 rows still have no number, line and advisor\n")
    assert not listed(run)[CALLS[0]]["named"]


def test_facts_other_than_those_that_were_sealed_are_refused(run, house, identity, monkeypatch):
    run("recordings", "reindex", CALLS[0], *WHY)
    keys = [house.site.officer.identity]
    manifest = read_manifest(house.path(CALLS[0], "manifest").read_bytes())
    facts = open_facts(manifest, house.path(CALLS[0], "header").read_bytes(), keys)
    url = f"{house.url}/api/v1/recordings/{CALLS[0]}/facts"
    headers = {"Authorization": f"Bearer {os.environ['GALWAD_TOKEN']}"}
    body = {"reference": "R", **msgspec.to_builtins(facts)}
    for change in ({"number": "+441970000000"}, {"number": None}, {"salt": "0" * 64}):
        refused = httpx2.put(url, json={**body, **change}, headers=headers)
        assert refused.status_code == 409
        assert refused.json()["error"] == "these are not the facts that were sealed"
    assert httpx2.put(url, json={**body, "salt": "x"}, headers=headers).status_code == 422
    supervisor = {"Authorization": f"Bearer {house.token('mair', 'supervisor')}"}
    assert httpx2.put(url, json=body, headers=supervisor).status_code == 403
    assert not listed(run)[CALLS[0]]["named"]
    assert httpx2.put(url, json=body, headers=headers).json()["state"] == "indexed"
    # Facts that are there are not replaced, not even by those that were sealed.
    assert httpx2.put(url, json=body, headers=headers).json()["state"] == "known"


def test_facts_that_were_erased_are_not_restored(run, house, identity):
    run("recordings", "reindex", CALLS[0], *WHY)
    house.do(house.desk.host.audit.append(FACTS_ERASED, {"call_id": CALLS[0]}))
    done = run("recordings", "reindex", CALLS[0], *WHY, "--identity", identity)
    assert done.status == 1
    assert f"{CALLS[0]}  NOT RESTORED: the facts about people were erased" in done.out


def test_a_disposed_recording_and_one_of_an_older_release_get_no_facts_about_people(
    run, house, identity, monkeypatch
):
    run("recordings", "reindex", CALLS[0], *WHY)
    why = ("--reason", "erasure", "--reference", "R-2026", "--yes")
    assert run("recordings", "purge", CALLS[0], *why).status == 0
    done = run("recordings", "reindex", CALLS[0], *WHY, "--identity", identity)
    assert (done.status, done.err) == (0, "")
    assert "caller unknown" in done.out
    monkeypatch.setattr(CallFacts, "begin_spool", lambda *_: None)
    older = "20260301-091500-abcdefgh"
    house.record(older)
    forget(house, older)
    done = run("recordings", "reindex", older, *WHY, "--identity", identity)
    assert (done.status, done.err) == (0, "")
    assert "caller unknown" in done.out


def rewrite(house, change, call_id=CALLS[0], table="recordings"):
    """Change a row as another program would."""
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
        connection.execute(f"UPDATE {table} SET {change} WHERE call_id = ?", (call_id,))
        connection.commit()


@pytest.mark.parametrize(
    "change",
    long_after(
        2,
        [
            "number = '+441970000000'",
            "advisor = '', salt = ''",
            "started = 5.0, talk_us = 5",
            "folder = '2026/03/02', payload_size = 5, interrupted = 1",
            f"manifest_sha256 = '{'0' * 64}'",
            f"salt = '{'0' * 64}'",
        ],
    ),
)
def test_reindex_corrects_a_row_that_contradicts_its_manifest(run, house, identity, change):
    run("recordings", "reindex", *WHY, "--identity", identity)
    right = house.do(house.desk.archive.catalogue.get(CALLS[0]))
    rewrite(house, change)
    assert house.do(house.desk.archive.catalogue.get(CALLS[0])) != right
    assert not index_agrees(run("recordings", "verify", CALLS[0]))
    done = run("recordings", "reindex", CALLS[0], *WHY, "--identity", identity)
    assert (done.status, done.err) == (0, "")
    assert "indexed: " in done.out
    assert house.do(house.desk.archive.catalogue.get(CALLS[0])) == right
    assert index_agrees(run("recordings", "verify", CALLS[0]))
    assert "recording.reindexed" in [kind for kind, _ in house.audit()[-8:]]


def test_a_row_is_corrected_without_an_identity_but_a_wrong_fact_becomes_unknown(
    run, house, identity
):
    run("recordings", "reindex", *WHY, "--identity", identity)
    rewrite(house, "talk_us = 5")
    rewrite(house, "line = 'other'", CALLS[1])
    assert run("recordings", "reindex", *CALLS[:2], *WHY).status == 0
    rows = listed(run)
    assert (rows[CALLS[0]]["talk_s"], rows[CALLS[0]]["number"]) == (2.0, NUMBER)
    assert (rows[CALLS[1]]["named"], rows[CALLS[1]]["line"]) == (False, "")
    assert index_agrees(run("recordings", "verify"))


def test_a_row_is_not_corrected_from_a_manifest_that_the_audit_does_not_have(run, house, identity):
    run("recordings", "reindex", *WHY, "--identity", identity)
    facts = {"call_id": CALLS[0], "manifest_sha256": "0" * 64}
    house.do(house.desk.host.audit.append("recording.indexed", facts))
    rewrite(house, "talk_us = 5")
    done = run("recordings", "reindex", CALLS[0], *WHY)
    assert done.status == 1
    assert "NOT INDEXED: the manifest is not the one that the audit has" in done.out
    assert house.do(house.desk.archive.catalogue.get(CALLS[0])).talk_us == 5


def test_verify_reports_the_row_of_a_locked_recording_until_its_facts_are_restored(
    run, house, identity
):
    """After a reboot, the finaliser can no longer read who called from the spool."""
    manifest = read_manifest(house.path(CALLS[0], "manifest").read_bytes())
    data = house.path(CALLS[0], "manifest").read_bytes()
    locked = sealed_message(sealed_recording(manifest, data, None))
    assert not house.do(house.desk.archive.indexer.index(locked))
    done = run("recordings", "verify", CALLS[0])
    assert done.status == 1
    assert "was removed from the index, and no audit entry says why" in done.out
    assert run("recordings", "reindex", CALLS[0], *WHY, "--identity", identity).status == 0
    assert index_agrees(run("recordings", "verify", CALLS[0]))
    assert house.do(house.desk.archive.indexer.index(locked))  # the finaliser may remove the spool
    assert listed(run)[CALLS[0]]["number"] == NUMBER
