"""`galwad check` finds directories whose settings, secrets or certificates cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from callerid.directories.http import HttpDirectorySection
from callerid.directories.ldap import LdapDirectorySection
from callerid.directories.sql import SqlColumns, SqlDirectorySection
from galwad.cli.checks import credentials, directories
from galwad.settings import load
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
        return [(each.grade.value, each.text) for each in directories.check(settings)]

    return results


def test_without_directories_there_is_no_result(settings_file):
    assert [*directories.check(load(settings_file))] == []


def test_a_directory_that_can_be_used_is_fine(results):
    assert results() == [("fine", "crm: its settings and files can be used")]


def test_a_secret_is_looked_for_in_the_store_of_the_unit(results, tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "_STORE", tmp_path)
    path = "/run/credentials/galwad-desk.service/galwad.directory.crm"
    stored = tmp_path / "galwad.directory.crm"
    authentication = {"kind": "bearer", "secret_file": path}
    assert results(authentication=authentication) == [("fault", f"crm: {stored} does not exist")]
    stored.write_text("hunter2")
    assert [grade for grade, _ in results(authentication=authentication)] == ["fine"]


def test_each_file_and_each_template_that_cannot_be_used_is_a_fault(results, tmp_path):
    ca = tmp_path / "ca.pem"
    assert results(tls={"ca": str(ca)}) == [("fault", f"crm: {ca} does not exist")]
    ca.write_text("not PEM")
    ((grade, text),) = results(tls={"ca": str(ca)})
    assert (grade, "cannot use the TLS files" in text) == ("fault", True)
    ((grade, text),) = results(query={"phone": "{number}"})
    assert (grade, text) == ("fault", 'crm: "query.phone" has an unknown placeholder: {number}')


def test_certificates_are_looked_for_in_the_store_of_the_unit_too(results, tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "_STORE", tmp_path)
    authority = Authority(tmp_path, "galwad.directory.ca")
    certificate, key = authority.issue("galwad.directory.crm", "galwad")
    unit = "/run/credentials/galwad-desk.service"
    files = {"ca": authority.path, "certificate": certificate, "key": key}
    tls = {name: f"{unit}/{path.name}" for name, path in files.items()}
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
    wanted = 'crm: "contact_notes.url" has a placeholder that no address can have: {purpose}'
    assert (grade, text) == ("fault", wanted)


def test_a_database_is_checked_without_connecting_to_it(settings_file, tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "_STORE", tmp_path)
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
    assert [each.text for each in directories.check(settings)] == [f"crm: {stored} does not exist"]
    stored.write_text("hunter2")
    assert [each.grade.value for each in directories.check(settings)] == ["fine"]


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
    monkeypatch.delitem(sys.modules, "callerid.directories.ldap_source")
    monkeypatch.setitem(sys.modules, "ldap", None)  # so that its import fails
    ((grade, text),) = checked()
    assert (grade, text.startswith("staff: needs python-ldap: install ")) == ("fault", True)
