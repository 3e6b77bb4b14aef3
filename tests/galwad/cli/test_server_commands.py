"""Commands that run on the server: users, directory, check, and the officer's keys.

Covers `galwad/cli/users.py`, `galwad/cli/directory.py`, `galwad/cli/check.py`,
`galwad/cli/keys.py`, `galwad/cli/server.py`, `galwad/cli/checks/finding.py`,
`galwad/cli/checks/host.py`, `galwad/cli/checks/keys.py`, `galwad/cli/checks/ports.py` and
`galwad/cli/checks/stores.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import socket
import sqlite3
import sys

import pytest

from config.settings import load
from galwad.desk.database import open_engine
from galwad.desk.recipients import RecipientsWatch
from recording.audit.log import AuditLog
from recording.keys.keyring import OfficerKeys, RecipientSet, fingerprint

PEOPLE = """\
reference,name,numbers,language,shared
P1,Mair Evans,01970 000001,cy,no
P2,Owen Evans,01970 000001,en,yes
"""


def test_a_user_gets_a_phone_whose_secret_is_shown_once(run, settings_file):
    words = ("users", "add", "sian", "--extension", "201", "--generate", "--json")
    done = run(*words, "--config", settings_file)
    assert done.status == 0, done.err
    secret = done.json()
    assert secret["sip"]["extension"] == "201"
    listed = run("users", "list", "--json", "--config", settings_file)
    assert listed.json()[0] == {
        "user": "sian",
        "role": "advisor",
        "extension": "201",
        "language": "en",
        "rights": [],
        "disabled": False,
    }
    database = settings_file.parent / "state" / "desk" / "galwad.db"
    with sqlite3.connect(database) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert secret["sip"]["password"] not in dump
    assert secret["password"] not in dump


def test_what_root_makes_in_the_desks_folder_belongs_to_the_desk(run, settings_file):
    state = settings_file.parent / "state"
    desk = state / "desk"
    desk.mkdir(parents=True)
    service = 12345 if os.geteuid() == 0 else os.getuid()
    os.chown(desk, service, -1)
    state.chmod(0o700)
    done = run("users", "add", "sian", "--generate", "--config", settings_file)
    assert done.status == 0, done.err
    made = list(desk.iterdir())
    assert {path.stat().st_uid for path in made} == {service}
    assert "galwad.db" in {path.name for path in made}


def test_what_is_done_and_could_not_be_noted_is_not_said_to_be_undone(run, settings_file):
    config = ("--config", settings_file)
    assert run("users", "list", *config).status == 0
    database = load(settings_file).database
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TABLE audit_values")
    words = ("users", "add", "pay", "--role", "machine", "--right", "payments")
    done = run(*words, *config)
    assert done.err.startswith("error: the audit cannot be written: no such table: audit_values\n")
    assert "hint: the change may have been made: check" in done.err
    assert "pay" in run("users", "list", *config).out


def test_a_machine_gets_a_token_with_its_rights(run, settings_file):
    words = ("users", "add", "pay", "--role", "machine", "--right", "payments", "--json")
    done = run(*words, "--config", settings_file)
    assert done.status == 0, done.err
    assert done.json()["token"]


@pytest.mark.parametrize(
    "words",
    [("add", "sian", "--generate"), ("rights", "gwen", "--right", "purge"), ("disable", "gwen")],
    ids=["add", "rights", "disable"],
)
def test_the_desk_is_notified_of_each_change_of_users(run, settings_file, words):
    config = ("--config", settings_file)
    assert run("users", "add", "gwen", "--role", "admin", "--generate", *config).status == 0
    with socket.socket(socket.AF_UNIX) as desk:
        desk.bind(str(load(settings_file).desk_socket))
        desk.listen()
        assert run("users", *words, *config).status == 0
        desk.settimeout(0)
        connection, _ = desk.accept()
        with connection:
            assert b"UsersChanged" in connection.recv(4096)


def test_a_password_can_be_read_from_standard_input(run, settings_file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    done = run("users", "add", "sian", "--password-stdin", "--config", settings_file)
    assert done.status == 0, done.err
    assert "correct horse" not in done.out


@pytest.mark.parametrize(
    "case",
    [
        ("sian", "short", "a password has at least"),
        ("Siân Rhys", "correct horse battery", "a name has lower-case letters"),
    ],
)
def test_a_user_that_does_not_fit_is_refused(run, settings_file, monkeypatch, case):
    name, password, error = case
    monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
    done = run("users", "add", name, "--password-stdin", "--config", settings_file)
    assert (done.status, len(done.err.splitlines())) == (1, 2)
    assert error in done.err


def test_a_disabled_user_stays_in_the_list(run, settings_file):
    run("users", "add", "sian", "--generate", "--config", settings_file)
    assert run("users", "disable", "sian", "--config", settings_file).status == 0
    assert run("users", "disable", "nobody", "--config", settings_file).status == 1
    assert "disabled" in run("users", "list", "--config", settings_file).out


def test_people_are_imported_all_or_none(run, settings_file, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    done = run("directory", "import", file, "--config", settings_file, "--json")
    assert done.json() == {"added": 2, "replaced": 0, "removed": 0}
    file.write_text(PEOPLE + "P3,,nonsense,xx,no\n")
    refused = run("directory", "import", file, "--config", settings_file)
    assert refused.status == 1
    assert "error: people.csv:4: numbers:" in refused.err


def test_check_names_each_fault_with_its_fix(run, settings_file):
    done = run("check", "--json", "--config", settings_file)
    assert done.status == 1
    findings = {(f["name"], f["grade"]): f for f in json.loads(done.out)}
    assert findings["recipients", "fault"]["fix"]
    assert findings["state", "fine"]
    assert ("database", "warning") in findings
    assert all(f["fix"] for f in findings.values() if f["grade"] != "fine")


def test_check_is_content_with_a_whole_installation(run, settings_file, tmp_path):
    officer = OfficerKeys.generate()
    key_line = f'officer_key = "{officer.public_key}"'
    lines = settings_file.read_text().splitlines()
    text = "\n".join(key_line if line.startswith("officer_key") else line for line in lines)
    settings_file.write_text(text)
    deputy = OfficerKeys.generate()
    named = [("officer", officer.identity.recipient), ("deputy", deputy.identity.recipient)]
    folder = tmp_path / "state" / "keys"
    folder.mkdir()
    (folder / "recipients.json").write_bytes(RecipientSet.of(named, 1).sign(officer.signing))
    (tmp_path / "people.csv").write_text(PEOPLE)
    run("directory", "import", tmp_path / "people.csv", "--config", settings_file)
    run("users", "add", "sian", "--generate", "--config", settings_file)
    done = run("check", "--config", settings_file)
    assert done.status == 0, done.out + done.err
    assert "2 people" in done.out
    marks = [f"{name} {fingerprint(key)}" for name, key in named]
    assert f"{', '.join(marks)} can open recordings" in done.out


def test_check_tells_of_an_older_set_that_was_put_back(run, settings_file, tmp_path):
    officer = OfficerKeys.generate()
    found = re.search('officer_key = "(.*)"', settings_file.read_text())
    settings_file.write_text(settings_file.read_text().replace(found[1], officer.public_key))
    run("users", "add", "sian", "--generate", "--config", settings_file)
    file, desk = tmp_path / "state" / "keys" / "recipients.json", tmp_path / "state" / "desk"
    file.parent.mkdir()

    async def watch():
        engine = open_engine(desk / "galwad.db")
        audit = AuditLog(engine, "test", desk / "audit.key")
        await RecipientsWatch(file, officer.public_key, audit).look()
        await engine.dispose()

    named = [(name, OfficerKeys.generate().identity.recipient) for name in ("one", "two")]
    for serial, grade in ((1, "fine"), (2, "fine"), (1, "warning")):
        file.write_bytes(RecipientSet.of(named, serial).sign(officer.signing))
        asyncio.run(watch())
        done = run("check", "--json", "--config", settings_file)
        assert ("recipients", grade) in findings(done)
    assert "set number 1 is in force, but number 2 is newer" in done.out


def findings(done):
    return {(found["name"], found["grade"]): found["fix"] for found in json.loads(done.out)}


def test_folders_that_the_units_will_make_are_no_fault(run, settings_file, tmp_path):
    for name in ("state", "run"):
        (tmp_path / name).rmdir()
    found = findings(run("check", "--json", "--config", settings_file))
    assert {("state", "warning"), ("runtime", "warning")} <= set(found)
    assert not {("state", "fault"), ("runtime", "fault")} & set(found)


def test_units_must_be_able_to_pass_through_the_state_folder(run, settings_file, tmp_path):
    state = tmp_path / "state"
    (tmp_path / "private").mkdir(mode=0o755)
    (state / "desk").symlink_to(tmp_path / "private")
    state.chmod(0o750)
    found = findings(run("check", "--json", "--config", settings_file))
    assert found["state", "fault"] == f"chmod 755 {state}"
    state.chmod(0o755)
    found = findings(run("check", "--json", "--config", settings_file))
    assert not {("state", "fault"), ("state", "warning")} & set(found)


def test_check_finds_folders_that_are_open_to_everybody(run, settings_file, tmp_path):
    spool = tmp_path / "state" / "spool"
    spool.mkdir()
    spool.chmod(0o755)
    (tmp_path / "run").chmod(0o755)
    done = run("check", "--config", settings_file)
    assert f"fix: chmod o= {spool}" in done.out
    assert f"fix: chmod o= {tmp_path / 'run'}" in done.out


def test_what_root_makes_first_lets_the_units_pass_whatever_the_umask(run, settings_file, tmp_path):
    state = tmp_path / "state"
    state.rmdir()
    before = os.umask(0o077)
    try:
        done = run("users", "add", "sian", "--generate", "--config", settings_file)
    finally:
        os.umask(before)
    assert done.status == 0, done.err
    assert state.stat().st_mode & 0o777 == (0o755 if os.geteuid() == 0 else 0o700)
    assert (state / "desk").stat().st_mode & 0o007 == 0


def test_check_finds_a_port_that_somebody_else_has(run, settings_file):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = settings_file.read_text().replace("udp:127.0.0.1:0", f"udp:127.0.0.1:{port}")
        settings_file.write_text(text)
        done = run("check", "--config", settings_file)
    assert f"127.0.0.1:{port}: address already in use" in done.out
    assert "[sip] listen" in done.out


def test_keys_are_made_shown_and_signed(run, tmp_path):
    folder = tmp_path / "keys"
    made = run("keys", "init", folder, "--json").json()
    assert (folder / "identity.txt").stat().st_mode & 0o777 == 0o600
    shown = run("keys", "show", folder, "--json").json()
    assert shown == made
    assert "AGE-SECRET-KEY" not in run("keys", "show", folder).out
    other = run("keys", "init", tmp_path / "deputy", "--json").json()
    out = tmp_path / "recipients.json"
    done = run("keys", "sign", folder, "--recipient", f"deputy={other['recipient']}", "-o", out)
    assert done.status == 0, done.err
    found = RecipientSet.load(out, made["officer_key"])
    assert [entry.name for entry in found.named] == ["officer", "deputy"]
    again = tmp_path / "next.json"
    assert run("keys", "sign", folder, "--replaces", out, "-o", again).status == 0
    assert RecipientSet.load(again, made["officer_key"]).serial == 2


def test_keys_are_never_overwritten(run, tmp_path):
    run("keys", "init", tmp_path / "keys")
    before = (tmp_path / "keys" / "identity.txt").read_text()
    done = run("keys", "init", tmp_path / "keys")
    assert (done.status, len(done.err.splitlines())) == (1, 2)
    assert (tmp_path / "keys" / "identity.txt").read_text() == before


def test_a_recipient_that_is_none_is_refused(run, tmp_path):
    run("keys", "init", tmp_path / "keys")
    words = ("keys", "sign", tmp_path / "keys", "-o", tmp_path / "set.json", "--recipient")
    assert run(*words, "age1deputy").status == 2
    assert run(*words, "deputy=age1nonsense").status == 1
    assert not (tmp_path / "set.json").exists()


def test_check_warns_of_names_in_routes_that_nobody_has(run, settings_file):
    for user, extension in (("sian", "204"), ("gwen", "205")):
        words = ("users", "add", user, "--extension", extension, "--generate")
        assert run(*words, "--config", settings_file).status == 0
    assert run("users", "disable", "gwen", "--config", settings_file).status == 0
    with settings_file.open("a", encoding="utf-8") as file:
        file.write(
            '[[phones]]\nextension = "301"\nuser = "huw"\n'
            f'ha1_md5 = "{"0" * 32}"\n'
            '[[routes]]\ncalled = "01970000900"\nring = ["204", "301", "999"]\n'
            '[[routes]]\ncalled = "01970000901"\ntarget = "sip:1@192.0.2.20"\n'
            'advisors = ["sian", "gwen", "nobody"]\n'
        )
    done = run("check", "--json", "--config", settings_file)
    found = {(f["name"], f["text"]) for f in done.json() if f["grade"] == "warning"}
    assert ("routes", "01970000900 rings 999, which no phone has") in found
    assert ("routes", "01970000901 has the advisors gwen, nobody, who are not users") in found
    assert ("phones", "301 belongs to huw, who is not a user") in found
