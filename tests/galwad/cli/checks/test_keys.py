"""`galwad check` on certificates that cannot be used, and on spools that cannot be opened."""

from __future__ import annotations

import json
import os

import pytest

from galwad.cli.checks import files
from helpers.site import Site
from recording.spool import Clock, SpoolWriter
from recording.spool.recovery import recover_key

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
    monkeypatch.setattr(files, "_CREDENTIALS", tmp_path / "credentials")
    passed_on = tmp_path / "credentials" / "galwad-switch.service"
    certificate, _ = make("good")
    monkeypatch.setattr(files, "_STORE", certificate.parent)
    ((grade, _),) = check(passed_on / "good.crt", passed_on / "good.key")
    assert grade == "fine"


CALL, OTHER = "20260301-090000-abcdefgh", "20260301-091000-bcdefghi"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "node")


@pytest.fixture
def checked(run, site):
    def checked():
        found = run("check", "--json", "--config", site.config).json()
        return [(e["grade"], e["text"], e["fix"]) for e in found if e["name"] == "spools"]

    return checked


def reboot(site):
    """Delete the boot key, as a reboot does: the next start makes another."""
    (site.root / "run" / "boot.key").unlink()


def test_spools_that_this_machine_can_open_are_not_a_fault(site, checked):
    site.call(CALL)
    writer = site.writer(OTHER)
    assert checked() == []
    writer.close(0)


def test_recordings_on_the_spare_disk_are_a_warning(site, checked):
    path, spare = site.call(CALL), site.settings.spare_folder
    spare.mkdir()
    path.rename(spare / path.name)
    ((grade, text, _),) = checked()
    assert grade == "warning"
    assert text == f"a call's recording is in {spare}: the disk of the spools failed"
    other = site.call(OTHER)
    other.rename(spare / other.name)
    assert checked()[0][1].startswith("the recording of 2 calls is in ")


def test_a_spool_from_before_a_reboot_is_a_fault_with_the_command_to_recover_it(site, checked):
    path = site.call(CALL)
    reboot(site)
    told = "fault", f"{path.name} is from before a reboot, and locked"
    assert checked() == [
        (
            *told,
            f"copy it to the officer's machine, and there: galwad recordings recover {path.name}",
        )
    ]
    (site.root / "run" / "boot.key").write_bytes(bytes(32))
    assert checked()[0][:2] == told


def test_a_locked_spool_is_no_fault_once_the_service_can_read_its_recovered_key(site, checked):
    path = site.call(CALL)
    reboot(site)
    key = recover_key(path, [site.officer.identity])
    keys = site.root / "run" / "spool-keys"
    brought = keys / key.name
    brought.write_bytes(bytes(key))
    assert checked() == []
    if os.geteuid() == 0:
        os.chown(keys, 4321, -1)  # the folder belongs to the services' user, the key to root
        [(grade, text, fix)] = checked()
        assert (grade, text) == ("fault", f"the service cannot read {key.name}")
        assert fix == f"chown --reference={keys} {brought}"


def test_a_locked_spool_without_recipients_is_reported_as_unrecoverable(site, checked):
    keys = site.root / "run" / "spool-keys"
    clock = Clock(1_772_355_600.0, 0.0)
    SpoolWriter.create(site.spool, keys, CALL, 1, site.boot_key, None, clock).close(0)
    reboot(site)
    [(grade, text, _)] = checked()
    assert grade == "fault"
    assert text.endswith("there was no signed set: no key opens it")


def test_a_file_that_is_not_a_valid_spool_is_ignored(site, checked):
    (site.spool / f"{CALL}.1.spool").write_bytes(b"no spool")
    assert checked() == []


def test_many_locked_spools_are_shortened_to_a_few_lines(site, checked):
    for index in range(13):
        site.writer(f"20260301-0900{index:02}-abcdefgh").close(0)
    reboot(site)
    found = checked()
    assert len(found) == 11
    assert found[-1] == ("fault", "and 3 more", "correct these first, then check again")
