"""`galwad users` on the server: each change of a user, from the first to the last.

Covers `galwad/cli/support/administration.py`.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sqlite3
import sys

import pytest

from galwad.settings import load
from helpers.root import as_root, galwad_as_root


def test_a_new_users_password_and_sip_secret_are_shown_and_not_stored(run, settings_file):
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
        "team": None,
        "second_factor": False,
        "disabled": False,
    }
    database = settings_file.parent / "state" / "desk" / "galwad.db"
    with sqlite3.connect(database) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert secret["sip"]["password"] not in dump
    assert secret["password"] not in dump


def test_files_that_root_makes_in_the_desks_folder_belong_to_the_desks_user(run, settings_file):
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


@pytest.mark.parametrize("name", ["audit.key.next", "galwad.db"])
def test_a_command_of_root_follows_no_link_that_the_service_made(settings_file, name):
    desk = settings_file.parent / "state" / "desk"
    desk.mkdir()
    for target in ("present", "missing"):
        secret = settings_file.parent / f"{name}-{target}"
        if target == "present":
            secret.write_text("only root's")
            secret.chmod(0o600)
        (desk / name).symlink_to(secret)
        as_root("chown", "-h", "65534", str(desk), str(desk / name))
        done = galwad_as_root("users", "add", "sian", "--generate", "--config", settings_file)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        assert not secret.exists() if target == "missing" else secret.read_text() == "only root's"
        as_root("rm", "-r", str(desk))
        desk.mkdir()


def test_a_failed_audit_entry_is_reported_although_the_user_was_added(run, settings_file):
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


def test_adding_a_machine_user_prints_a_token(run, settings_file):
    words = ("users", "add", "pay", "--role", "machine", "--right", "payments", "--json")
    done = run(*words, "--config", settings_file)
    assert done.status == 0, done.err
    assert done.json()["token"]


@pytest.mark.parametrize(
    "words",
    [
        ("add", "sian", "--generate"),
        ("rights", "gwen", "--right", "purge"),
        ("password", "gwen", "--generate"),
        ("move", "gwen", "202"),
        ("sip-password", "gwen"),
        ("disable", "gwen"),
        ("enable", "gwen"),
        ("remove", "gwen"),
    ],
    ids=lambda words: words[0],
)
def test_the_desk_is_notified_of_each_change_of_users(run, settings_file, words):
    config = ("--config", settings_file)
    made = run(
        "users", "add", "gwen", "--role", "admin", "--extension", "201", "--generate", *config
    )
    assert made.status == 0
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
        ("sian", "short", "the password is too short"),
        ("Siân Rhys", "correct horse battery", 'the name "Siân Rhys" is not valid'),
    ],
)
def test_an_invalid_name_or_password_is_refused(run, settings_file, monkeypatch, case):
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


def test_a_user_is_added_changed_disabled_and_removed_on_the_command_line(
    run, settings_file, monkeypatch
):
    config = ("--config", settings_file)

    def users(*words):
        done = run("users", *words, *config)
        assert done.status == 0, done.err
        return done

    users("add", "sian", "--extension", "201", "--generate")
    made = users("password", "sian", "--generate", "--json").json()
    assert len(made["password"]) >= 12
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    assert "correct horse" not in users("password", "sian", "--password-stdin").out
    sip = users("sip-password", "sian", "--json").json()["sip"]
    assert sip["extension"] == "201"
    assert "SIP password  " in users("sip-password", "sian").out
    moved = users("move", "sian", "202", "--json").json()
    assert (moved["extension"], moved["sip"]["extension"]) == ("202", "202")
    assert "no extension" in users("move", "sian", "--none").out
    users("move", "sian", "202")
    users("disable", "sian")
    users("add", "huw", "--extension", "202", "--generate")
    assert users("enable", "sian").out.startswith("sian is enabled, with no extension\n")
    users("remove", "sian")
    rows = users("list", "--json").json()
    assert [(row["user"], row["extension"]) for row in rows] == [("huw", "202")]


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (("move", "sian"), 2, "give an extension, or only --none"),
        (("move", "sian", "202", "--none"), 2, "give an extension, or only --none"),
        (
            ("sip-password", "sian"),
            1,
            "give the user one first: `galwad users move sian EXTENSION`",
        ),
        (("password", "pay", "--generate"), 1, "`galwad users disable` and then `enable`"),
        (("remove", "nia"), 1, "`galwad users list` shows the users"),
    ],
)
def test_an_impossible_change_of_a_user_is_refused_with_advice(
    run, settings_file, words, status, hint
):
    config = ("--config", settings_file)
    run("users", "add", "sian", "--generate", *config)
    run("users", "add", "pay", "--role", "machine", *config)
    done = run("users", *words, *config)
    assert done.status == status
    assert f"hint: {hint}" in done.err
