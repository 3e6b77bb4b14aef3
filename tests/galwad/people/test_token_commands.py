"""`galwad users tokens` on the server: add, list, rotate and revoke."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from galwad.settings import load


@pytest.fixture
def galwad(run, settings_file):
    """Run a command of `galwad users` with the test's settings."""

    def galwad(*words):
        return run("users", *words, "--config", settings_file)

    rights = ("--right", "payments", "--right", "metrics")
    assert galwad("add", "pay", "--role", "machine", *rights).status == 0
    assert galwad("add", "sian", "--generate").status == 0
    return galwad


def test_a_machines_token_is_rotated_and_the_audit_has_both_steps(galwad, settings_file):
    (first,) = galwad("tokens", "list", "pay", "--json").json()
    assert (first["scopes"], first["expires"], first["last_used"]) == (None, None, None)
    done = galwad("tokens", "add", "pay", "spring", "--right", "payments", "--json")
    assert done.status == 0, done.err
    made = done.json()
    assert made["token"].startswith("galwad_")
    assert made["scopes"] == ["payments"]
    assert 364 < (made["expires"] - time.time()) / 86_400 <= 365
    assert made["created_by"].startswith("os:")
    assert galwad("tokens", "revoke", "pay", first["name"]).status == 0
    listed = galwad("tokens", "list", "pay").out
    assert "spring" in listed
    assert first["name"] not in listed
    assert made["token"] not in listed
    with closing(sqlite3.connect(load(settings_file).database)) as connection:
        kinds = [
            row[0] for row in connection.execute("SELECT kind FROM audit_entries ORDER BY seq")
        ]
    assert kinds[-2:] == ["token.made", "token.revoked"]


def test_a_person_gets_a_token_that_can_only_pause(galwad):
    done = galwad("tokens", "add", "sian", "desktop")
    assert done.status == 0, done.err
    assert "  token         galwad_" in done.out
    (token,) = galwad("tokens", "list", "sian", "--json").json()
    assert token["scopes"] == ["pause"]
    refused = galwad("tokens", "add", "sian", "more", "--right", "payments")
    assert refused.status == 1
    assert "can only pause and resume" in refused.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("add", "nobody", "x"), 'there is no user "nobody"'),
        (("list", "nobody"), 'there is no user "nobody"'),
        (("revoke", "pay", "x"), 'the user "pay" has no token with this name'),
        (("add", "pay", "x", "--right", "anchors"), "does not have the right anchors"),
        (("add", "pay", "x", "--days", "4000"), "the token's lifetime is not valid"),
    ],
)
def test_a_token_command_that_fails_says_why_and_what_to_do(galwad, words, error):
    done = galwad("tokens", *words)
    assert done.status == 1
    assert error in done.err
    assert "hint: " in done.err


def test_disable_ends_all_tokens_and_enable_gives_a_new_token(galwad):
    galwad("tokens", "add", "pay", "spring")
    galwad("disable", "pay")
    assert galwad("tokens", "list", "pay", "--json").json() == []
    token = galwad("enable", "pay", "--json").json()["token"]
    assert token.startswith("galwad_")
    (only,) = galwad("tokens", "list", "pay", "--json").json()
    assert only["expires"] is None


def test_check_warns_of_a_machines_token_that_expires_soon(galwad, run, settings_file):
    galwad("tokens", "add", "pay", "spring", "--days", "29")
    galwad("tokens", "add", "pay", "summer", "--days", "31")
    galwad("tokens", "add", "sian", "desktop", "--days", "1")
    found = run("check", "--json", "--config", settings_file).json()
    (warned,) = [each for each in found if each["name"] == "tokens"]
    assert warned["grade"] == "warning"
    assert warned["text"].startswith("the token spring of pay expires on ")
    assert warned["fix"].startswith("galwad users tokens add pay NAME")
