"""`galwad recordings list`, `hold`, `release` and `purge`, with the certificates of disposal.

Covers `galwad/archive/custody.py` and `galwad/archive/desk_socket.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sqlite3
import time

import pytest
from msgspec.structs import replace

from galwad.calls.log.logged_call import LoggedCall
from helpers.file_sizes import run_with_small_files
from helpers.followed_calls import log_calls
from helpers.house import House
from helpers.site import Site
from recording.archive.disposal import CERTIFICATE
from recording.archive.manifest import read_manifest
from recording.keys.keyring import RecipientSet, load_or_create_signing_key

CALL = "20261125-093000-abcdefgh"


def test_list_shows_the_gap_reasons_of_a_recording(run, server):
    done = run("recordings", "list")
    assert CALL in done.out
    assert "payment, transfer" in done.out


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("option", "text", "asked"),
    [
        ("--number", "01970 000001", {"number": "01970 000001"}),
        ("--advisor", "sian", {"advisor": "sian"}),
        ("--extension", "201", {"extension": "201"}),
        ("--line", "Council Tax", {"line": "Council Tax"}),
        ("--when", "last week", {"when": "last week"}),
        ("--since", "2026-11-24", {"since": "2026-11-24"}),
        ("--until", "yesterday", {"until": "yesterday"}),
        ("--longer", "1:02:03", {"min_length_s": 3723.0}),
        ("--shorter", "0", {"max_length_s": 0.0}),
        ("--gap", "payment", {"gap_reason": "payment"}),
        ("--reference", "C-1024", {"reference": "C-1024"}),
    ],
)
def test_a_filter_option_of_recordings_list_is_sent_in_the_request_body(
    run, archive, option, text, asked
):
    assert run("recordings", "list", option, text).status == 0
    assert archive.asked == [("POST", "/recordings/search", {**asked, "limit": 50})]


@pytest.mark.parametrize("option", ["--when", "--since", "--until", "--longer", "--shorter"])
def test_an_unreadable_time_is_refused_before_the_server_is_asked(run, server, archive, option):
    done = run("recordings", "list", option, "once")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f'error: cannot read {option} "once"\nhint: write it as ')
    assert archive.asked == []


def test_a_limited_list_shows_the_option_for_the_next_page(run, server, archive):
    archive.listed = 3
    assert run("recordings", "list", "--limit", "2").out.endswith("more: add --after 2\n")
    done = run("recordings", "list", "--limit", "2", "--after", "2")
    assert (done.out.count(CALL), "--after" in done.out) == (1, False)


def test_a_long_list_is_requested_in_pages_of_500(run, server, archive):
    archive.listed = 1300
    page = run("recordings", "list", "--limit", "1200", "--json").json()
    assert (len(page["rows"]), page["after"]) == (1200, "1200")
    assert [body["limit"] for _, _, body in archive.asked] == [500, 500, 200]
    rest = run("recordings", "list", "--limit", "1200", "--after", "1200", "--json").json()
    assert (len(rest["rows"]), rest["after"]) == (100, None)


CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(2)]


FIRST, SECOND = CALLS


WHY = ("--reason", "retention", "--reference", "R-2026", "--yes")


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Two recordings, and gwen, an administrator with the purge right, signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(*CALLS)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        yield house


def node_key(house):
    return house.site.settings.archive / "galwad.pub"


def test_a_purged_recording_loses_its_header_and_verifies_as_disposed(run, house, tmp_path):
    copy = tmp_path / "certificate.json"
    done = run("recordings", "purge", FIRST, *WHY, "-o", copy)
    assert done.status == 0, done.err
    assert "(retention) by user:gwen, by certificate: entry " in done.out
    assert not house.path(FIRST, "header").exists()
    assert copy.read_bytes() == house.path(FIRST, "disposal").read_bytes()
    archive = house.site.settings.archive
    verified = run("recordings", "verify", archive, "--node-key", node_key(house))
    assert verified.status == 0
    assert f"{FIRST}  disposed of " in verified.out
    assert f"{SECOND}  whole" in verified.out
    told = run("recordings", "verify", FIRST, "--json").json()[0]
    assert (told["whole"], told["problems"]) == (False, [])
    assert told["disposal"]["reason"] == "retention"


def test_a_disposal_removes_the_number_of_the_call_from_the_log_of_calls(run, house):
    number = "+441632960001"
    rows = [LoggedCall(each, time.time(), ended=time.time(), number=number) for each in CALLS]
    store = house.desk.calls.log.store
    house.do(log_calls(house.desk.host.engine, *rows))
    assert run("recordings", "purge", FIRST, *WHY).status == 0
    assert [house.do(store.call(each)).number for each in CALLS] == ["", number]


def test_purge_destroys_nothing_when_the_certificate_cannot_be_written(run, house, tmp_path):
    kept = tmp_path / "certificate.json"
    kept.touch()
    for place, why in (
        (kept, "exists"),
        (tmp_path / "none" / "x", "is not a folder"),
        ("/proc/self/certificate", "cannot create files in /proc/self"),
    ):
        done = run("recordings", "purge", FIRST, *WHY, "-o", place)
        assert done.status == 1
        assert why in done.err
        assert "--force" not in done.err
    assert house.path(FIRST, "header").exists()
    assert [kind for kind, _ in house.audit() if "purge" in kind] == []


def test_a_full_disk_for_the_certificate_is_reported_after_the_disposal(run, house, tmp_path):
    """A limit on the file size stands for a full disk."""
    command = ("recordings", "purge", FIRST, *WHY, "-o", tmp_path / "certificate.json")
    done = run_with_small_files(0, *command)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the recording is disposed of, but its certificate was not written: "
    )
    assert not house.path(FIRST, "header").exists()
    assert run(*command).status == 0
    assert command[-1].read_bytes() == house.path(FIRST, "disposal").read_bytes()


def test_a_disposal_certificate_names_the_audit_entry_that_ordered_the_disposal(run, house):
    run("recordings", "purge", FIRST, *WHY)
    certificate = CERTIFICATE.read(house.path(FIRST, "disposal").read_bytes())
    entries = house.do(house.desk.host.audit.entries())
    ordered = entries[certificate.audit.seq - 1]
    assert ordered.kind == "recording.purge-ordered"
    assert ordered.facts["payload_sha256"] == certificate.payload.sha256
    assert ordered.personal == {"actor": "user:gwen", "reference": "R-2026"}
    assert [entry.kind for entry in entries][-1] == "recording.purged"
    assert "R-2026" not in house.path(FIRST, "disposal").read_text()


def test_an_audit_entry_with_a_changed_kind_column_fails_verification(run, house):
    """The body and hash are unchanged; only the column that searches use is changed."""
    run("recordings", "purge", FIRST, *WHY)
    with (
        contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection,
        connection,
    ):
        connection.execute(
            "UPDATE audit_entries SET kind = 'x' WHERE kind = 'recording.purge-ordered'"
        )
    assert run("audit", "list", "--kind", "recording.purge-ordered", "--json").json() == []
    done = run("audit", "verify")
    assert done.status == 1
    assert ": its columns contradict its body" in done.out


def test_a_forged_disposal_certificate_without_an_order_in_the_audit_is_reported(run, house):
    """A thief of the node's key can sign a certificate that points to another recording's order."""
    archive = house.site.settings.archive
    run("recordings", "purge", FIRST, *WHY)
    assert run("audit", "verify", "--recordings", archive).status == 0
    signed = CERTIFICATE.read(house.path(FIRST, "disposal").read_bytes())
    manifest = house.path(SECOND, "manifest").read_bytes()
    forged = replace(
        signed,
        call_id=SECOND,
        payload=read_manifest(manifest).payload,
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        disposed="2026-03-02T09:00:00Z",
    )
    key = load_or_create_signing_key(house.site.root / "state" / "finaliser" / "manifest.key")
    house.path(SECOND, "disposal").write_bytes(CERTIFICATE.sign(forged, key))
    house.path(SECOND, "header").unlink()
    assert run("recordings", "verify", archive, "--node-key", node_key(house)).status == 0
    done = run("audit", "verify", "--recordings", archive)
    assert done.status == 1
    assert f"{SECOND}: it was disposed of, but no entry ordered that" in done.out.splitlines()
    house.path(SECOND, "disposal").write_bytes(b"")
    assert (
        "certificate of disposal cannot be read"
        in run("audit", "verify", "--recordings", archive).out
    )


def test_a_disposed_recording_is_neither_fetched_nor_rewrapped(run, house, tmp_path):
    run("recordings", "purge", FIRST, *WHY)
    fetched = run(
        "recordings",
        "fetch",
        FIRST,
        "--sealed",
        "--purpose",
        "complaint",
        "--reference",
        "C",
        "-o",
        tmp_path / "x.age",
    )
    assert fetched.err.startswith("error: the recording was disposed of\n")
    keys = tmp_path / "identity.txt"
    house.site.officer.save(keys)
    named = [("Officer", house.site.officer.identity.recipient)] * 2
    house.site.recipients.write_bytes(RecipientSet.of(named, 2).sign(house.site.officer.signing))
    done = run("keys", "rewrap", keys, "--reference", "K", "--json").json()
    assert (done["recordings"], done["rewrapped"], done["failed"]) == (1, 1, [])
    shown = run("recordings", "show", FIRST)
    assert "disposed of" in shown.out


def test_a_second_purge_destroys_a_header_that_a_backup_brought_back(run, house):
    header = house.path(FIRST, "header").read_bytes()
    first = run("recordings", "purge", FIRST, *WHY)
    house.path(FIRST, "header").write_bytes(header)
    assert run("recordings", "verify", house.site.settings.archive).status == 1
    again = run("recordings", "purge", FIRST, *WHY)
    assert again.out == first.out
    assert not house.path(FIRST, "header").exists()


def test_a_lost_reply_from_the_finaliser_is_not_reported_as_a_failed_disposal(
    run, house, monkeypatch
):
    finaliser = house.desk.archive.finaliser
    with monkeypatch.context() as patch:
        patch.setattr(finaliser, "replied", lambda _: finaliser.fail_waiting())
        done = run("recordings", "purge", FIRST, *WHY)
    assert done.err.startswith("error: the connection to the finaliser was lost\nhint: try again: ")
    assert not house.path(FIRST, "header").exists()
    assert "recording.not-purged" not in [kind for kind, _ in house.audit()]
    for each in ("disposal", "manifest", "payload"):
        os.utime(house.path(FIRST, each), (0, 0))
    orphans = run("calls", "coverage", "--json").json()["orphans"]
    assert [(each["kind"], each["call_id"]) for each in orphans] == [
        ("disposal without row", FIRST)
    ]
    hold = ("--reference", "C-17", "--reason", "claim", "--review", "2099-01-01")
    held = run("holds", "open", FIRST, *hold)
    assert held.err.startswith(f"error: the recording {FIRST} was disposed of\n")
    again = run("recordings", "purge", FIRST, *WHY)
    assert (again.status, house.audit()[-1][0]) == (0, "recording.purged")
    assert run("calls", "coverage", "--json").json()["orphans"] == []


def test_a_flag_is_set_listed_shown_and_removed(run, house):
    why = ("--reason", "medical details")
    assert (
        run("recordings", "flag", FIRST, "sensitive", *why).out == f"{FIRST}  flagged sensitive\n"
    )
    listed = run("recordings", "list", "--flag", "sensitive")
    assert (listed.out.count(FIRST), listed.out.count(SECOND)) == (1, 0)
    assert "sensitive" in listed.out
    assert ": medical details" in run("recordings", "show", FIRST).out
    done = run("recordings", "unflag", FIRST, "sensitive", *why)
    assert done.out == f"{FIRST}  no longer flagged sensitive\n"
    again = run("recordings", "unflag", FIRST, "sensitive", *why)
    assert again.err.startswith("error: the recording does not have this flag\n")
    assert run("recordings", "flag", FIRST, "secret", *why).status == 2


def test_purge_needs_the_purge_right(run, house, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", house.token("huw", "admin"))
    done = run("recordings", "purge", FIRST, *WHY)
    assert done.err.startswith("error: disposing of recordings needs the right `purge`\n")
    assert house.path(FIRST, "header").exists()
    config = ("--config", house.site.config)
    assert run("users", "rights", "huw", "--right", "purge", *config).out == "huw: purge\n"
    assert run("recordings", "purge", FIRST, *WHY).status == 0
    assert run("users", "rights", "huw", *config).out == "huw: no rights\n"
    assert run("recordings", "purge", SECOND, *WHY).status == 1
    wrong = run("users", "rights", "huw", "--right", "payments", *config)
    assert wrong.err.startswith("error: the role ")
    assert ("user.rights-set", "purge") in [
        (kind, facts.get("rights")) for kind, facts in house.audit()
    ]


def test_purge_without_confirmation_or_a_known_reason_is_refused(run, house):
    done = run("recordings", "purge", FIRST, *WHY[:-1])
    assert (done.status, done.err) == (
        2,
        "error: confirmation is required, and there is no terminal to ask\nhint: add --yes\n",
    )
    assert house.path(FIRST, "header").exists()
    assert run("recordings", "purge", FIRST, "--reason", "boredom", *WHY[2:]).status == 2


def test_purge_without_the_finaliser_fails_and_works_after_its_restart(run, house):
    house.do(house.desk.archive.socket.stop())
    done = run("recordings", "purge", FIRST, *WHY)
    assert done.err.startswith("error: the finaliser cannot be reached\n")
    assert [kind for kind, _ in house.audit()][-1] == "recording.not-purged"
    house.restart()
    again = run("recordings", "purge", FIRST, *WHY, "--server", house.url)
    assert again.status == 0, again.err


def test_a_spool_of_a_disposed_recording_is_removed_without_being_sealed(run, house):
    run("recordings", "purge", FIRST, *WHY)
    spool = house.site.call(FIRST)
    house.do(house.site.gone(spool))
    assert not house.path(FIRST, "header").exists()
    archive = house.site.settings.archive
    assert run("recordings", "verify", archive, "--node-key", node_key(house)).status == 0


def test_an_invalid_disposal_certificate_neither_removes_nor_seals_the_spool(run, house):
    """Sealing could restore a disposed recording; removing would trust an invalid certificate."""
    house.path(FIRST, "header").unlink()
    house.path(FIRST, "disposal").write_bytes(b"{}")
    spool = house.site.call(FIRST)
    house.do(alarmed(house))
    assert spool.exists()
    assert not house.path(FIRST, "header").exists()


async def alarmed(house):
    """Wait until the finaliser has notified the desk."""
    metric = house.desk.host.metrics.alarms.labels("recording.not_sealed")
    while not metric._value.get():  # noqa: ASYNC110 - a counter sends no event when it changes
        await asyncio.sleep(0.01)
