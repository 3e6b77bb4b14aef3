"""`galwad users link`: a person signs in with an account of the provider from then on."""

from __future__ import annotations

import sqlite3

import pytest

ISSUER = "https://login.example/v2.0"


@pytest.fixture
def link(run, settings_file):
    run("users", "add", "sian", "--generate", "--config", settings_file)
    return lambda *words: run("users", "link", *words, "--config", settings_file)


def test_an_identity_is_linked_once(link, settings_file):
    identity = ("--issuer", ISSUER, "--subject", "oid-1")
    done = link("sian", *identity, "--json")
    assert done.status == 0, done.err
    assert done.json() == {"user": "sian", "issuer": ISSUER, "subject": "oid-1"}
    database = settings_file.parent / "state" / "desk" / "galwad.db"
    with sqlite3.connect(database) as connection:
        rows = connection.execute('SELECT issuer, subject, "user" FROM identities').fetchall()
    connection.close()
    assert rows == [(ISSUER, "oid-1", "sian")]
    again = link("sian", *identity)
    assert again.status == 1
    assert 'linked to the user "sian"' in again.err


def test_the_provider_of_the_settings_is_the_default(link, settings_file):
    refused = link("sian", "--subject", "oid-1")
    assert refused.status == 2
    assert "give --issuer" in refused.err
    with settings_file.open("a", encoding="utf-8") as file:
        file.write(
            f'\n[sign_in]\nissuer = "{ISSUER}"\nclient_id = "galwad"\nsecret_file = "/etc/secret"\n'
            'roles = { advisors = "advisor" }\n'
        )
    done = link("sian", "--subject", "oid-1")
    assert (done.status, ISSUER in done.out) == (0, True)


@pytest.mark.parametrize("subject", ["", "a" * 256, "a\nb"])
def test_a_subject_that_no_token_can_have_is_refused(link, subject):
    assert link("sian", "--issuer", ISSUER, "--subject", subject).status == 1
