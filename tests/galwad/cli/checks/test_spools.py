"""`galwad check` names the spools that this machine cannot open, and what opens them."""

from __future__ import annotations

import os

import pytest

from helpers.site import Site
from recording.spool import Clock, SpoolWriter
from recording.spool.recovery import recover_key

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
        (*told, f"on the officer's machine: galwad recordings recover {path.name}")
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
    assert found[-1] == ("fault", "and 3 more", f"they are in {site.spool}")
