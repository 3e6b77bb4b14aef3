"""`galwad check` on certificates: missing, unreadable, expired, or for another key or name.

Covers `galwad/cli/checks/certificates.py` and `galwad/cli/checks/credentials.py`.
"""

from __future__ import annotations

import json

import pytest

from galwad.cli.checks import credentials

HOST = "127.0.0.1"


@pytest.fixture
def make(make_authority):
    """Make a certificate and its key, as files."""
    return lambda name, host=HOST, days=90: make_authority("ca").issue(name, host, days=days)


@pytest.fixture
def check(run, settings_file):
    """Run the check with these files for SIP over TLS; return its findings about them."""

    def check(certificate, key, more=""):
        text = settings_file.read_text()
        head, listen, rest = text.partition("listen = [")
        lines = f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n{more}'
        settings_file.write_text(f'{head}{lines}{listen}"tls:{HOST}:0", {rest}')
        done = run("check", "--json", "--config", settings_file)
        found = [row for row in json.loads(done.out) if row["name"] in {"sip tls", "settings"}]
        settings_file.write_text(text)
        return [(row["grade"], row["text"]) for row in found if row["name"] == "sip tls"]

    return check


def test_a_valid_certificate_is_fine(check, make):
    ((grade, text),) = check(*make("good"))
    assert grade == "fine"
    assert "is valid for 90 days" in text


@pytest.mark.parametrize(
    ("days", "grade", "words"),
    [(-1, "fault", "has expired"), (10, "warning", "expires in 10 days")],
)
def test_an_expired_certificate_is_a_fault_and_one_that_expires_soon_a_warning(
    check, make, days, grade, words
):
    ((found, text),) = check(*make("dated", days=days))
    assert (found, words in text) == (grade, True)


def test_a_missing_certificate_file_is_a_fault(check, make, tmp_path):
    _, key = make("good")
    ((grade, text),) = check(tmp_path / "none.crt", key)
    assert (grade, text) == ("fault", f"{tmp_path / 'none.crt'} does not exist")


def test_an_unreadable_key_file_is_a_fault(check, make, tmp_path):
    certificate, _ = make("good")
    ((grade, text),) = check(certificate, tmp_path)
    assert (grade, text) == ("fault", f"{tmp_path} cannot be read (is a directory)")


def test_a_file_without_a_certificate_is_a_fault(check, make):
    _, key = make("good")
    ((grade, text),) = check(key, key)
    assert grade == "fault"
    assert "holds no certificate" in text


def test_a_key_of_another_certificate_is_a_fault(check, make):
    certificate, _ = make("one")
    _, key = make("two")
    ((grade, text),) = check(certificate, key)
    assert (grade, text) == ("fault", f"{key} is not the key of {certificate}")


def test_a_certificate_for_another_host_name_is_a_fault(check, make):
    grades = check(*make("other", host="pbx.example.com"))
    assert ("fault", True) in [(grade, f"does not name {HOST}" in text) for grade, text in grades]


def test_a_wildcard_certificate_covers_the_host_names_under_it(check, make):
    pair = make("wild", host="*.example.com")
    grades = check(*pair, more='advertise = "sip.example.com"\n')
    assert [grade for grade, _ in grades] == ["fine"]


def test_certificate_authority_files_are_checked_too(check, make):
    certificate, key = make("good")
    grades = check(certificate, key, f'tls_client_ca = "{certificate}"\ntls_ca = "{key}"\n')
    assert [grade for grade, _ in grades] == ["fine", "fine", "fault"]


def test_systemd_credentials_are_checked_where_they_are_stored(check, make, tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "_CREDENTIALS", tmp_path / "credentials")
    passed_on = tmp_path / "credentials" / "galwad-switch.service"
    certificate, _ = make("good")
    monkeypatch.setattr(credentials, "_STORE", certificate.parent)
    ((grade, _),) = check(passed_on / "good.crt", passed_on / "good.key")
    assert grade == "fine"
