"""The desk upgrades the databases that earlier versions left, and keeps their data.

Covers `galwad/migrations/env.py`, `galwad/migrations/bridge.py` and
`galwad/migrations/versions/first_release.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
from datetime import date
from typing import Any

import httpx2
import pytest

from callerid.directories.embedded import EmbeddedDirectory
from callerid.number import PhoneNumber
from galwad.calls.alarms.store import AlarmStore
from galwad.calls.log.store import CallStore
from galwad.calls.presence.store import Break, Breaks
from galwad.cli.checks.database import check_database
from galwad.events.outbox import WebhookOutbox
from galwad.events.stream import BEFORE_ALL, StreamStore
from galwad.host.database import SchemaError, open_engine, revisions, upgrade
from galwad.migrations import bridge
from galwad.notes.store import NoteDrafts, NoteStore
from galwad.people.identities import Identities
from galwad.people.second_factor import CodeVerdict, SecondFactors, SecretBox
from galwad.people.sessions import Sessions
from galwad.people.store import Users
from galwad.people.user import ProviderIdentity
from galwad.settings import load
from galwad.settings.desk import ALL_EVENTS
from galwad.texts.rules import TextEntry
from galwad.texts.store import TextStore
from helpers import processes
from helpers.examples import long_after
from helpers.loopback import free_port
from helpers.processes import GALWAD, Child
from helpers.stored_databases import STORED, write_database
from recording.audit.log import verify

PATIENCE_S = 120.0
REVISIONS = revisions()
OF_2026_11_26, MIDDLE, NEWEST = "0005", "0013", REVISIONS[-1]
LOGGED_CALL = "20261115-080100-ssssssss"
CALL_WITH_EVENT = "20261114-080100-rrrrrrrr"
OPEN_NOTE = "20261112-080100-nnnnnnnn"
FIRST, THIRD, FOURTH, FIFTH, SIXTH, EIGHTH, NINTH, TENTH, ELEVENTH, TWENTY_FIFTH = (
    ["20261101-080100-aaaaaaaa", "20261101-080200-bbbbbbbb", "20261101-080300-cccccccc"],
    ["20261103-080100-eeeeeeee", "20261103-080200-ffffffff"],
    ["20261104-080100-gggggggg"],
    ["20261105-080100-hhhhhhhh"],
    ["20261106-080100-iiiiiiii"],
    ["20261108-080100-jjjjjjjj"],
    ["20261109-080100-kkkkkkkk"],
    ["20261110-080100-llllllll"],
    ["20261111-080100-mmmmmmmm"],
    ["20261125-080100-tttttttt"],
)
ADDED: dict[str, dict[str, Any]] = {
    "recordings": {"raw_size": 0, "salt": ""},
    "contacts": {
        "number": "",
        "withheld": 0,
        "no_note_reason": "",
        "entries": "[]",
        "reference": "",
        "ended": 0,
        "name": "",
        "unfinished": 0,
        "erased": 0,
    },
    "contact_outbox": {
        "state": "waiting",
        "due": 0,
        "attempts": 0,
        "uncertain": 0,
        "reason": "",
        "record_id": "",
    },
    "sessions": {
        "name": None,
        "scopes": None,
        "expires": None,
        "created_by": "",
        "address": "",
        "provider": 0,
        "needs_second_factor": 0,
        "stepped_up": None,
    },
    "users": {"team": ""},
}
"""The columns that came after a table's first revision, with their value in older rows."""


def left_by(revision, folder):
    path = folder / "state" / "desk" / "galwad.db"
    write_database(revision, path)
    return path


def rows_of(path):
    """Return the rows of each table, each row as a dictionary."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
            for (name,) in tables
        }


def schema_of(path):
    """Return the statements that make the tables and indexes, without their white space."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: "".join(sql.split()) for name, sql in made}


@pytest.fixture
def settings(tmp_path):
    port = free_port()
    (tmp_path / "run").mkdir()
    file = tmp_path / "galwad.toml"
    file.write_text(
        f'[node]\nname = "old"\nstate = "{tmp_path}/state"\nruntime = "{tmp_path}/run"\n'
        '[sip]\nlisten = ["udp:127.0.0.1:0"]\n'
        '[[retention]]\ncategory = "general"\nkeep = "by hand"\n'
        '[recording]\nofficer_key = "'
        f'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="\n[desk]\nlisten = "127.0.0.1:{port}"\n'
    )
    return file, f"http://127.0.0.1:{port}/api/v1"


@contextlib.asynccontextmanager
async def desk_at_work(settings, tmp_path):
    """Start the desk as systemd does, wait until it is ready; give a client signed in as gwen."""
    file, url = settings
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
        notify.bind(str(tmp_path / "notify"))
        process = Child(
            [*GALWAD, "serve", "--only", "desk", "--config", file],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                ready = await asyncio.get_running_loop().sock_recv(notify, 4096)
                assert b"READY=1" in ready
            async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
                login = {"user": "gwen", "password": "correct horse battery", "client": "cli"}
                token = (await client.post("/login", json=login)).json()["token"]
                client.headers["Authorization"] = f"Bearer {token}"
                yield client
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)


async def search(client, **query):
    found, after = [], None
    while True:
        body = {**query, "limit": 2, **({"after": after} if after else {})}
        page = (await client.post("/recordings/search", json=body)).json()
        found += page["rows"]
        after = page["after"]
        if after is None:
            return {row["call_id"]: row for row in found}


def test_each_revision_has_a_stored_database():
    assert sorted(path.stem for path in STORED.glob("????.sql")) == sorted(REVISIONS)


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_makes_the_newest_schema_and_keeps_each_row(tmp_path, revision):
    fresh = tmp_path / "fresh.db"
    upgrade(fresh)
    path = left_by(revision, tmp_path)
    before = rows_of(path)
    assert all(before.values()), "a table has no stored row"
    upgrade(path)
    assert schema_of(path) == schema_of(fresh)
    after = rows_of(path)
    assert after.pop("alembic_version") == [{"version_num": NEWEST}]
    del before["alembic_version"]
    directory = rows_of(path.with_name("directory.db"))
    if "people" in before:
        assert directory["people"] == [{**row, "line": None} for row in before.pop("people")]
        assert directory["numbers"] == before.pop("numbers")
    assert [row["name"] for row in directory["people"]] == ["Ann Example"]
    expected = {
        table: [{**ADDED.get(table, {}), **row} for row in before.get(table, [])] for table in after
    }
    if "state" not in before["contact_outbox"][0]:
        for row in expected["contact_outbox"]:
            row["state"] = "delivered" if row["delivered"] else "waiting"
    if "legal_holds" not in before:
        expected |= holds_from(before.get("recording_holds", []))
        for hold in after["legal_holds"]:
            assert date.fromisoformat(hold.pop("review"))
    starts = {row["call_id"]: row["started"] for row in after["recordings"]}
    for row in expected["recording_holds"]:
        row["started"] = starts[row["call_id"]]
    assert set(before) <= set(after)
    assert after == expected


def holds_from(rows):
    """Return the expected rows after the upgrade of retentions that were not cases yet."""
    held, holds = [], []
    for number, row in enumerate(rows, 1):
        since, reason = row["since"], row["reason"]
        kept = {"since": since, "released": None, "kept_until": None}
        held.append({"call_id": row["call_id"], "hold_id": number, **kept})
        facts = {"reference": reason, "reason": reason, "owner": "", "number": None, "version": 1}
        holds.append({"hold_id": number, **facts, "opened": since, "released": None})
    return {"recording_holds": held, "legal_holds": holds}


@pytest.mark.parametrize(
    ("revision", "grade"),
    [(OF_2026_11_26, "warning"), (MIDDLE, "warning"), (NEWEST, "fine"), ("9999", "fault")],
)
def test_check_says_whether_the_desk_will_upgrade_the_database(settings, tmp_path, revision, grade):
    path = left_by(revision if revision in REVISIONS else NEWEST, tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    found = [each for each in check_database(load(settings[0])) if "schema" in each.text]
    assert [(each.name, each.grade) for each in found] == [("database", grade)]


@pytest.mark.slow
@pytest.mark.parametrize("revision", long_after(1, [OF_2026_11_26, MIDDLE, NEWEST]))
async def test_the_desk_starts_on_the_database_of_an_earlier_version(settings, tmp_path, revision):
    path = left_by(revision, tmp_path)
    known = {row["call_id"] for row in rows_of(path)["recordings"]}
    async with desk_at_work(settings, tmp_path) as client:
        rows = await search(client)
        assert set(rows) == known
        assert list(rows) == sorted(known, reverse=True)
        assert set(await search(client, number="01632 960001", advisor="sian")) == known - {
            FIRST[1]
        }
        assert set(await search(client, gap_reason="payment")) == {FIRST[1]}
        assert set(await search(client, reference="C-1024")) == {FIRST[1]}
        assert set(await search(client, min_length_s=600)) == {FIRST[1]}
        assert [gap["reason"] for gap in rows[FIRST[2]]["gaps"]] == ["fault"]
        raw = {call_id for call_id, row in rows.items() if row["raw_size"] == 1234}
        assert raw == known & {*FOURTH}
        measured = {call_id: row["network"] for call_id, row in rows.items() if row["network"]}
        assert set(measured) == known & {*ELEVENTH}
        for network in measured.values():
            assert [(each["channel"], each["mos"]) for each in network] == [
                ("caller", 3.87),
                ("advisor", 4.41),
            ]
        assert set(await search(client, extension="301")) == known & {*FIFTH, *SIXTH}
        cards = {call_id for call_id, row in rows.items() if row["captured_card"] == "open"}
        assert cards == known & {*NINTH}
        for parties, calls in (("later_callers", TENTH), ("later_advisors", TWENTY_FIFTH)):
            assert {call for call, row in rows.items() if row[parties]} == known & {*calls}
        incidents = (await client.get("/captured-cards")).json()["rows"]
        assert {incident["call_id"] for incident in incidents} == cards
        await custody_works(client, rows)
        salts = {
            call_id: (await client.get(f"/recordings/{call_id}")).json()["salt"]
            for call_id in known
        }
        assert salts == {call_id: "c" * 64 if call_id in EIGHTH else "" for call_id in known}
        shown = {
            call["call_id"]: call["caller"]["number_display"]
            for call in (await client.get("/calls")).json()
        }
        assert shown.get(OPEN_NOTE) == ("01632 960001" if revision >= "0012" else None)
        assert "20261112-080200-oooooooo" not in shown
        coverage = (await client.get("/coverage", params={"when": "2026-11"})).json()
        assert coverage["calls"] == len(known)
    engine = open_engine(path)
    verified = await verify(engine, "old")
    await engine.dispose()
    [ann] = await EmbeddedDirectory(path.with_name("directory.db")).find(
        PhoneNumber("+441632960001")
    )
    assert (ann.person_id, ann.name) == ("directory:1", "Ann Example")
    assert verified.findings == ()
    assert verified.entries > len(known)


@pytest.mark.slow
async def test_the_notes_that_an_earlier_release_did_not_deliver_still_wait(settings, tmp_path):
    left_by(NEWEST, tmp_path)
    async with desk_at_work(settings, tmp_path) as client:
        undelivered = (await client.get("/contacts/undelivered")).json()
    assert [each["state"] for each in undelivered] == ["refused", "waiting", "waiting"]


async def test_a_draft_of_an_earlier_release_still_belongs_to_its_open_note(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    (draft,) = await NoteDrafts(engine).all()
    contact = (await NoteStore(engine).open_notes())[-1]
    await engine.dispose()
    assert (draft.call_id, draft.note.notes) == (contact.call_id, "Drws wedi torri")
    assert (contact.name, contact.ended - contact.started) == ("Ann Example", 60)


async def test_call_events_that_an_earlier_release_left_can_still_be_sent(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    outbox = WebhookOutbox(engine)
    (waiting,) = await outbox.due(2_000_000_000.0, (), 9)
    progress = (await outbox.calls())[CALL_WITH_EVENT]
    await engine.dispose()
    assert (waiting.event.kind, waiting.event.call.call_id) == ("answered", CALL_WITH_EVENT)
    assert (waiting.event.call, waiting.attempts) == (progress.call, 2)
    assert progress.answered


async def test_a_stream_of_events_continues_after_an_event_of_an_earlier_release(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    store = StreamStore(engine, ALL_EVENTS, 3600.0, 100)
    position = await store.position(BEFORE_ALL)
    assert position is not None
    found = await store.after(position, 9)
    newest = await store.newest()
    await engine.dispose()
    assert found is not None
    assert [(event.kind, event.event_id) for event in found] == [("answered", newest)]


async def test_an_alarm_that_was_taken_before_the_upgrade_is_still_taken(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    (alarm,) = await AlarmStore(engine).load(0.0, 9)
    await engine.dispose()
    assert (alarm.kind, alarm.state, alarm.taken_by) == ("peer.down", "taken", "mair")


async def test_a_break_that_an_earlier_release_left_goes_on(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    breaks = await Breaks(engine).all()
    await engine.dispose()
    assert breaks == [Break("sian", "lunch", 1_794_643_260.0, "mair")]


async def test_a_changed_list_of_texts_and_a_team_that_an_earlier_release_left_still_count(
    tmp_path,
):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    stored = (await TextStore(engine).all())["breaks"]
    sian = await Users(engine).get("sian")
    await engine.dispose()
    assert sian is not None
    assert sian.team == "housing"
    assert stored.entries == (TextEntry("lunch", "Lunch", "Cinio canol dydd"),)
    assert stored.former == (TextEntry("tea", "Tea", "Te"),)
    assert (stored.changed, stored.changed_by) == (1_794_643_200.0, "gwen")


async def test_a_token_of_an_earlier_release_keeps_all_rights_and_does_not_expire(tmp_path):
    path = left_by("0014", tmp_path)
    row = hashlib.sha256(b"an old token").hexdigest(), "crm", "machine", 1e9, 1e9
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", row)
    upgrade(path)
    engine = open_engine(path)
    sessions = Sessions(engine)
    session = await sessions.find("an old token", "192.0.2.9")
    await sessions.stop()
    (token,) = await sessions.tokens.all("crm")
    await engine.dispose()
    assert session is not None
    assert session.user.rights == {"payments"}
    assert session.until is None
    assert (token.rights, token.expires, token.address) == (None, None, "192.0.2.9")
    assert token.name == f"token-{row[0][:8]}"


async def test_a_logged_call_of_an_earlier_release_can_be_read(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    call = await CallStore(engine).call(LOGGED_CALL)
    await engine.dispose()
    assert call is not None
    assert (call.line, call.number, call.outcome) == ("Housing", "+441632960001", "answered")
    assert [(part.role, part.user, part.result) for part in call.parts] == [
        ("rang", "huw", ""),
        ("had", "sian", ""),
        ("sent", "sian", "answered"),
    ]


async def test_an_identity_that_an_earlier_release_linked_is_still_that_of_its_user(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    identity = ProviderIdentity(
        "https://login.example/v2.0", "00000000-0000-0000-0000-000000000001"
    )
    user = await Identities(engine).user_of(identity)
    await engine.dispose()
    assert user is not None
    assert (user.name, user.role) == ("gwen", "admin")


async def custody_works(client, rows):
    """Check that retained and disposed recordings still are, and that another can be retained."""
    states = {call_id: row["custody"] for call_id, row in rows.items() if row["custody"]}
    assert states == ({THIRD[0]: "held", THIRD[1]: "disposed"} if THIRD[0] in rows else {})
    for call_id in states:
        detail = (await client.get(f"/recordings/{call_id}")).json()
        held = [each["reference"] for each in detail["holds"]]
        assert held == (["claim 17"] if call_id == THIRD[0] else [])
    hold = {"reference": "claim 18", "reason": "claim 18", "review": "2099-01-01"}
    held = await client.post("/holds", json={**hold, "call_ids": [FIRST[0]]})
    assert held.status_code == 201
    assert (await search(client, reference=FIRST[0]))[FIRST[0]]["custody"] == "held"


KILLED = """\
import os, shutil, sys
from pathlib import Path
from sqlalchemy import Engine, event
from galwad.host.database import upgrade

path, step, count, deadly = Path(sys.argv[1]), int(sys.argv[2]), 0, 0

@event.listens_for(Engine, "after_cursor_execute")
def executed(*_):
    global count
    count += 1
    if count == deadly:
        os.kill(os.getpid(), 9)

while True:
    deadly += step
    victim = path.with_name(f"killed-{deadly}.db")
    shutil.copy(path, victim)
    child = os.fork()
    if child == 0:
        upgrade(victim)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def tables(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        calls = connection.execute("SELECT call_id FROM recordings").fetchall()
    return made, version, sorted(calls)


def people_of(path):
    with contextlib.closing(sqlite3.connect(path.with_name("directory.db"))) as connection:
        query = "SELECT name, e164 FROM people JOIN numbers ON people.id = person_id"
        return connection.execute(query).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("revision", "step"),
    [
        (OF_2026_11_26, 5),
        pytest.param(OF_2026_11_26, 1, marks=pytest.mark.long),
        pytest.param(MIDDLE, 1, marks=pytest.mark.long),
    ],
)
def test_an_upgrade_killed_after_a_statement_succeeds_when_run_again(tmp_path, revision, step):
    path = left_by(revision, tmp_path)
    before = tables(path)
    subprocess.run([sys.executable, "-c", KILLED, str(path), str(step)], check=True)
    upgrade(path)
    after = tables(path)
    people = people_of(path)
    assert people == [("Ann Example", "+441632960001")]
    victims = sorted(path.parent.glob("killed-*.db"))
    assert len(victims) > 3
    for victim in victims:
        left = tables(victim)
        assert left in (before, after), "half of an upgrade was left"
        if any(name == "people" for name, _ in left[0]):  # their file is written again
            path.with_name("directory.db").unlink()
        upgrade(victim)
        assert tables(victim) == after
        assert people_of(victim) == people


@pytest.mark.slow
@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.long)])
def test_creating_the_database_succeeds_after_a_killed_first_start(tmp_path, step):
    path = tmp_path / "galwad.db"
    path.touch()
    subprocess.run([sys.executable, "-c", KILLED, str(path), str(step)], check=True)
    victims = sorted(tmp_path.glob("killed-*.db"))
    assert len(victims) > 30 // step
    upgrade(path)
    for victim in victims:
        upgrade(victim)
        assert tables(victim) == tables(path)


@pytest.mark.slow
def test_two_simultaneous_upgrades_both_succeed(tmp_path):
    path = left_by(OF_2026_11_26, tmp_path)
    script = "import sys; from pathlib import Path; from galwad.host.database import upgrade; "
    script += "sys.stdin.read(); upgrade(Path(sys.argv[1]))"
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE)
        for _ in range(2)
    ]
    for each in both:
        assert each.stdin is not None
        each.stdin.close()
    assert [each.wait(60) for each in both] == [0, 0]
    assert tables(path)[1] == [(NEWEST,)]


@pytest.mark.slow
def test_a_database_of_a_later_version_is_refused_in_one_line_and_not_changed(settings, tmp_path):
    path = left_by(NEWEST, tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(SchemaError, match="from a later version of Galwad"):
        upgrade(path)
    config = ["--config", settings[0]]
    desk = processes.run([*GALWAD, "serve", "--only", "desk", *config])
    assert desk.returncode == 1
    [line] = [line for line in desk.stderr.splitlines() if "desk.cannot_start" in line]
    assert "from a later version of Galwad" in line
    assert "install that version" in line
    assert "Traceback" not in desk.stderr
    users = processes.run([*GALWAD, "users", "list", *config])
    assert (users.returncode, users.stdout) == (1, "")
    assert users.stderr == (
        f"error: {path} is from a later version of Galwad\n"
        "hint: install that version again: the database was not changed\n"
    )
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_file_that_is_not_a_database_is_refused_and_not_changed(settings, tmp_path):
    path = left_by(NEWEST, tmp_path)
    path.write_bytes(b"this is no database, but long enough to be taken for one" * 99)
    before = path.read_bytes()
    with pytest.raises(SchemaError, match="file is not a database"):
        upgrade(path)
    assert path.read_bytes() == before


def test_a_disk_that_is_full_when_people_are_copied_stops_the_upgrade_and_changes_no_row(
    tmp_path, monkeypatch
):
    path = left_by("0005", tmp_path)
    before = rows_of(path)
    full = f"PRAGMA max_page_count = 1; {bridge._DIRECTORY}"
    monkeypatch.setattr(bridge, "_DIRECTORY", full)
    with pytest.raises(SchemaError, match="disk is full"):
        upgrade(path)
    assert rows_of(path) == before
    monkeypatch.undo()
    upgrade(path)
    assert rows_of(path.with_name("directory.db"))["people"]


async def test_a_recovery_code_that_an_earlier_release_made_still_works_once(tmp_path):
    path = left_by(NEWEST, tmp_path)
    upgrade(path)
    engine = open_engine(path)
    factors = SecondFactors(engine, SecretBox(path.with_name("second-factor.key")))
    before = await factors.status("sian")
    verdicts = [await factors.check("sian", "k7qd-m2ye-4fxa-zolb") for _ in range(2)]
    await engine.dispose()
    assert before is not None
    assert (before.since, before.recovery_left) == (1_794_643_200.0, 1)
    assert verdicts == [CodeVerdict.RECOVERY, CodeVerdict.WRONG]


async def test_a_session_of_an_earlier_release_has_no_stronger_sign_in(tmp_path):
    path = left_by("0022", tmp_path)
    row = hashlib.sha256(b"an old token").hexdigest(), "gwen", "page", 1e9, 1e9, 1
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO sessions (token_sha256, user, kind, created, seen, provider) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
    upgrade(path)
    engine = open_engine(path)
    sessions = Sessions(engine, clock=lambda: 1e9 + 5)
    session = await sessions.find("an old token")
    assert session is not None
    assert not sessions.is_stepped_up(session, 600.0)
    stepped_up = await sessions.step_up(session)
    assert stepped_up is not None
    assert sessions.is_stepped_up(stepped_up, 600.0)
    await sessions.stop()
    await engine.dispose()
