"""The accounts and bindings of phones: kept across restarts, expired and replaced."""

import time

import pytest

from galwad.messages import PhoneCredentials
from galwad.switch.edge.phones import Phones
from telephony.sip.events import Address


def test_secrets_are_found_by_extension_realm_and_algorithm(phones):
    assert phones.ha1("201", "galwad", "MD5") == "0" * 32
    assert phones.ha1("201", "galwad", "SHA-256") is None
    assert phones.ha1("201", "another", "MD5") is None
    assert phones.ha1("999", "galwad", "MD5") is None


def test_accounts_of_the_desk_survive_a_restart_and_never_replace_those_of_the_settings(
    settings, phones
):
    phones.set_accounts(
        [
            PhoneCredentials("203", "gwen", ha1_md5="2" * 32),
            PhoneCredentials("201", "mallory", ha1_md5="3" * 32),
        ]
    )
    again = Phones(settings.node.state / "switch", settings.phones, settings.sip.realm)
    assert again.user_of("203") == "gwen"
    assert again.user_of("201") == "sian"
    assert again.ha1("203", "galwad", "MD5") == "2" * 32


def test_bindings_survive_a_restart(settings, phones, register, monkeypatch):
    monkeypatch.setattr("galwad.switch.call.clocks.time.monotonic", lambda: 100.0)
    register("201", "sip:201@10.0.0.1", 100.0)
    phones.save(100.0)
    again = Phones(settings.node.state / "switch", settings.phones, settings.sip.realm)
    assert [str(binding.uri) for binding in again.bindings("201", 101.0)] == ["sip:201@10.0.0.1"]


def test_accounts_and_bindings_that_the_disk_refused_are_written_later(settings, phones, register):
    folder = settings.node.state / "switch"
    accounts = [PhoneCredentials("203", "gwen", ha1_md5="2" * 32)]
    for name in ("phones.new", "bindings.new"):
        (folder / name).mkdir()
    phones.set_accounts(accounts)
    register("203", "sip:203@10.0.0.1", time.monotonic())
    phones.save(time.monotonic())
    for name in ("phones.new", "bindings.new"):
        (folder / name).rmdir()
    phones.save(time.monotonic())
    again = Phones(folder, settings.phones, settings.sip.realm)
    assert again.user_of("203") == "gwen"
    assert len(again.bindings("203", time.monotonic())) == 1


def test_bindings_expire(phones, register):
    register("201", "sip:201@10.0.0.1", 0.0, expires=60)
    assert phones.registered(59.0) == 1
    assert phones.bindings("201", 61.0) == []


def test_a_removed_account_loses_its_bindings_and_secret(phones, register):
    phones.set_accounts([PhoneCredentials("203", "gwen", ha1_md5="2" * 32)])
    register("203", "sip:203@10.0.0.1", 0.0)
    phones.set_accounts([])
    assert phones.bindings("203", 1.0) == []
    assert phones.ha1("203", "galwad", "MD5") is None


@pytest.mark.parametrize(
    "changed",
    [
        PhoneCredentials("203", "gwen", ha1_md5="4" * 32),
        PhoneCredentials("203", "huw", ha1_md5="2" * 32),
    ],
)
def test_a_new_sip_password_or_user_ends_the_bindings_of_only_this_extension(
    phones, register, changed
):
    other = PhoneCredentials("204", "sian", ha1_md5="3" * 32)
    before = PhoneCredentials("203", "gwen", ha1_md5="2" * 32)
    phones.set_accounts([before, other])
    for extension in ("201", "203", "204"):
        register(extension, f"sip:{extension}@10.0.0.1", 0.0)
    phones.set_accounts([before, other])
    assert phones.registered(1.0) == 3
    phones.set_accounts([changed, other])
    assert [len(phones.bindings(each, 1.0)) for each in ("201", "203", "204")] == [1, 0, 1]


def test_damaged_phone_files_leave_the_accounts_of_the_settings_intact(settings, phones):
    folder = settings.node.state / "switch"
    for name in ("phones.json", "bindings.json"):
        (folder / name).write_bytes(b"{")
    again = Phones(folder, settings.phones, settings.sip.realm)
    assert again.user_of("201") == "sian"


def test_the_file_with_secrets_is_readable_only_by_its_owner(settings, phones):
    phones.set_accounts([PhoneCredentials("203", "gwen", ha1_md5="2" * 32)])
    mode = (settings.node.state / "switch" / "phones.json").stat().st_mode
    assert mode & 0o077 == 0


OLD, NEW = (Address("192.0.2.50", port, "TCP", flow=port) for port in (40001, 40002))
FAR = NEW._replace(host="192.0.2.51")
UDP = Address("192.0.2.50", 5060)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (("sip:201-0x5@192.0.2.50:1", OLD), ("sip:201-0x5@192.0.2.50:2", NEW), [(OLD, NEW)]),
        (("sip:201-0x5@192.0.2.50:1", OLD), ("sip:201-0x7@192.0.2.50:2", NEW), []),
        (("sip:201@192.0.2.50:1", OLD), ("sip:201@192.0.2.51:2", FAR), []),
        (("sip:201@192.0.2.50", UDP), ("sip:201@192.0.2.50", NEW), []),
        (("sip:201@192.0.2.50", OLD), ("sip:201@192.0.2.50", OLD), []),
    ],
)
def test_only_the_same_contact_over_a_new_connection_counts_as_a_moved_phone(
    phones, register, before, after, moved
):
    told = []
    phones.on_moved = lambda *both: told.append(both)
    for now, (contact, source) in enumerate((before, after)):
        register("201", contact, float(now), source=source)
    assert told == moved
