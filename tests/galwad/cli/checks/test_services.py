"""`galwad check` finds directories, receivers and providers whose settings cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from callerid.directories.http import HttpDirectorySection
from callerid.directories.ldap import LdapDirectorySection
from callerid.directories.sql import SqlColumns, SqlDirectorySection
from galwad.cli.checks import files, services
from galwad.settings import load
from galwad.settings.desk import SignInSection, WebhookSection
from helpers.certificates import Authority

CRM = {
    "name": "crm",
    "kind": "http",
    "url": "https://crm.example/people",
    "people": "items",
    "fields": {"id": "id", "name": "name", "numbers": "phone"},
}


STAFF = {"name": "staff", "kind": "ldap", "url": "ldaps://dc1.council.example", "base": "dc=x"}


@pytest.fixture
def results(settings_file):
    """Return a function that checks a directory with these settings."""

    def results(section=None, **more):
        section = section or HttpDirectorySection.model_validate({**CRM, **more})
        settings = load(settings_file).model_copy(update={"directories": (section,)})
        return [(each.grade.value, each.text) for each in services.check_directories(settings)]

    return results


def test_without_directories_there_is_no_result(settings_file):
    assert [*services.check_directories(load(settings_file))] == []


def test_a_directory_that_can_be_used_is_fine(results):
    assert results() == [("fine", "crm: its settings and files can be used")]


def test_a_secret_is_looked_for_in_the_store_of_the_unit(results, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_STORE", tmp_path)
    path = "/run/credentials/galwad-desk.service/galwad.directory.crm"
    stored = tmp_path / "galwad.directory.crm"
    authentication = {"kind": "bearer", "secret_file": path}
    assert results(authentication=authentication) == [("fault", f"crm: {stored} does not exist")]
    stored.write_text("hunter2")
    assert [grade for grade, _ in results(authentication=authentication)] == ["fine"]


def test_a_file_or_a_template_that_cannot_be_used_is_a_fault(results, tmp_path):
    ca = tmp_path / "ca.pem"
    assert results(tls={"ca": str(ca)}) == [("fault", f"crm: {ca} does not exist")]
    ca.write_text("not PEM")
    ((grade, text),) = results(tls={"ca": str(ca)})
    assert (grade, "cannot use the TLS files" in text) == ("fault", True)
    ((grade, text),) = results(query={"phone": "{number}"})
    assert (grade, text) == ("fault", 'crm: "query.phone" has an unknown placeholder: {number}')


def test_certificates_are_looked_for_in_the_store_of_the_unit_too(results, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_STORE", tmp_path)
    authority = Authority(tmp_path, "galwad.directory.ca")
    certificate, key = authority.issue("galwad.directory.crm", "galwad")
    unit = "/run/credentials/galwad-desk.service"
    issued = {"ca": authority.path, "certificate": certificate, "key": key}
    tls = {name: f"{unit}/{path.name}" for name, path in issued.items()}
    assert results(tls=tls) == [("fine", "crm: its settings and files can be used")]
    key.unlink()
    assert results(tls=tls) == [("fault", f"crm: {key} does not exist")]


def test_a_template_of_contact_notes_that_cannot_be_filled_in_is_a_fault(results):
    notes = {"url": f"{CRM['url']}/{{note_id}}", "method": "PUT", "body": {"text": "{text}"}}
    assert results(contact_notes=notes) == [("fine", "crm: its settings and files can be used")]
    ((grade, text),) = results(contact_notes={**notes, "body": {"text": "{number}"}})
    wanted = 'crm: "contact_notes.body" has an unknown placeholder: {number}'
    assert (grade, text) == ("fault", wanted)
    ((grade, text),) = results(contact_notes={**notes, "url": f"{notes['url']}/{{purpose}}"})
    wanted = 'crm: "contact_notes.url" has the placeholder {purpose}, which an address cannot have'
    assert (grade, text) == ("fault", wanted)


def test_a_database_is_checked_without_connecting_to_it(settings_file, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_STORE", tmp_path)
    section = SqlDirectorySection(
        name="crm",
        kind="sql",
        url="postgresql+asyncpg://galwad@db.invalid/crm",
        password_file=Path("/run/credentials/galwad-desk.service/galwad.directory.crm"),
        view="callers",
        columns=SqlColumns(id="id", name="name", numbers=("phone",)),
    )
    settings = load(settings_file).model_copy(update={"directories": (section,)})
    stored = tmp_path / "galwad.directory.crm"
    assert [each.text for each in services.check_directories(settings)] == [
        f"crm: {stored} does not exist"
    ]
    stored.write_text("hunter2")
    assert [each.grade.value for each in services.check_directories(settings)] == ["fine"]


def test_an_ldap_directory_is_checked_for_its_secret_and_its_package(
    results, tmp_path, monkeypatch
):
    def checked(**more):
        return results(LdapDirectorySection.model_validate({**STAFF, **more}))

    fine = [("fine", "staff: its settings and files can be used")]
    assert checked() == fine
    secret = tmp_path / "password"
    account = {"user": "cn=galwad", "secret_file": str(secret)}
    assert checked(**account) == [("fault", f"staff: {secret} does not exist")]
    secret.write_text("hunter2")
    assert checked(**account) == fine
    monkeypatch.setitem(sys.modules, "ldap.filter", None)  # so that its import fails
    ((grade, text),) = checked()
    assert (grade, text.startswith("staff: needs python-ldap: install ")) == ("fault", True)


RECEIVER_FINE = [("fine", "the settings and files of the receiver of call events can be used")]


@pytest.fixture
def receiver_results(settings_file):
    """Return a function that checks a receiver with these settings."""

    def receiver_results(**values):
        section = WebhookSection.model_validate({"url": "https://crm.example/calls", **values})
        settings = load(settings_file).model_copy(update={"webhook": section})
        return [(each.grade.value, each.text) for each in services.check_webhook(settings)]

    return receiver_results


def test_without_a_receiver_there_is_no_result(settings_file):
    assert [*services.check_webhook(load(settings_file))] == []


def test_the_key_of_the_receiver_is_looked_for_in_the_store_of_the_unit_and_must_be_a_key(
    receiver_results, tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "_STORE", tmp_path)
    path = "/run/credentials/galwad-desk.service/galwad.webhook.key"
    stored = tmp_path / "galwad.webhook.key"
    assert receiver_results(secret_file=path) == [("fault", f"{stored} does not exist")]
    stored.write_text("hunter2")
    ((grade, text),) = receiver_results(secret_file=path)
    assert (grade, "24 to 64 octets" in text, "hunter2" in text) == ("fault", True, False)
    stored.write_text("a" * 43 + "=\n")
    assert receiver_results(secret_file=path) == RECEIVER_FINE


def test_the_token_of_the_receiver_must_have_one_line(receiver_results, tmp_path):
    token = tmp_path / "token"
    token.write_text("one\ntwo\n")
    ((grade, text),) = receiver_results(format="zammad", token_file=str(token))
    assert (grade, text) == (
        "fault",
        f"cannot use {token}: the file must have one line with the secret",
    )
    token.write_text("one\n")
    assert receiver_results(format="zammad", token_file=str(token)) == RECEIVER_FINE


def test_a_certificate_that_cannot_be_used_is_a_fault(receiver_results, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("not PEM")
    ((grade, text),) = receiver_results(format="sipgate", tls={"ca": str(ca)})
    assert (grade, "cannot use the TLS files" in text) == ("fault", True)


@pytest.fixture
def provider_results(settings_file):
    """Return a function that checks a provider with these settings."""

    def provider_results(**values):
        section = SignInSection.model_validate(
            {
                "issuer": "https://login.example",
                "client_id": "galwad",
                "roles": {"advisors": "advisor"},
                **values,
            }
        )
        settings = load(settings_file).model_copy(update={"sign_in": section})
        return [(each.grade.value, each.text) for each in services.check_sign_in(settings)]

    return provider_results


def test_without_a_provider_there_is_no_result(settings_file):
    assert [*services.check_sign_in(load(settings_file))] == []


def test_the_providers_secret_is_looked_for_in_the_store_of_the_unit_and_must_have_one_line(
    provider_results, tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "_STORE", tmp_path)
    path = "/run/credentials/galwad-desk.service/galwad.sign-in.secret"
    stored = tmp_path / "galwad.sign-in.secret"
    assert provider_results(secret_file=path) == [("fault", f"{stored} does not exist")]
    stored.write_text("hunter2\nhunter3\n")
    ((grade, text),) = provider_results(secret_file=path)
    assert (grade, "one line" in text, "hunter" in text) == ("fault", True, False)
    stored.write_text("hunter2\n")
    assert provider_results(secret_file=path) == [
        ("fine", "the settings and files of the sign-in at the provider can be used")
    ]
    stored.with_name("ca").write_text("no certificate")
    ((grade, _),) = provider_results(secret_file=path, tls={"ca": str(stored.with_name("ca"))})
    assert grade == "fault"
