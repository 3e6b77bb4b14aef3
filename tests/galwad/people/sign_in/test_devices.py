"""The tokens of devices on which an account has signed in before."""

from __future__ import annotations

import pytest

from galwad.people.sign_in.devices import MAX_TOKENS, Devices


@pytest.fixture
def devices(tmp_path):
    return Devices(tmp_path / "devices.key")


def test_a_token_is_valid_only_for_its_account(devices):
    cookie = devices.cookie_for("sian", "")
    assert devices.device_of("sian", cookie)
    assert devices.device_of("huw", cookie) == ""
    assert "sian" not in cookie


def test_a_device_keeps_its_id_at_later_sign_ins(devices):
    cookie = devices.cookie_for("sian", "")
    assert devices.cookie_for("sian", cookie) == cookie


def test_a_shared_device_is_known_to_its_newest_accounts(devices):
    cookie = ""
    for number in range(MAX_TOKENS + 1):
        cookie = devices.cookie_for(f"user{number}", cookie)
    assert [bool(devices.device_of(f"user{n}", cookie)) for n in range(MAX_TOKENS + 1)] == [
        False,
        *[True] * MAX_TOKENS,
    ]


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: "x" + text])
def test_a_changed_token_is_refused(devices, change):
    assert devices.device_of("sian", change(devices.cookie_for("sian", ""))) == ""


@pytest.mark.parametrize("cookie", ["", "~", ".", "a.", ".b", "ä.ö", "~" * 5000])
def test_a_cookie_that_is_no_list_of_tokens_is_ignored(devices, cookie):
    assert devices.device_of("sian", cookie) == ""
    assert devices.device_of("sian", devices.cookie_for("sian", cookie))


def test_tokens_stay_valid_after_a_restart_and_only_on_their_node(devices, tmp_path):
    cookie = devices.cookie_for("sian", "")
    assert Devices(tmp_path / "devices.key").device_of("sian", cookie)
    assert (tmp_path / "devices.key").stat().st_mode & 0o777 == 0o600
    assert Devices(tmp_path / "other.key").device_of("sian", cookie) == ""


def test_a_damaged_key_is_replaced(devices, tmp_path):
    (tmp_path / "devices.key").write_bytes(b"short")
    cookie = Devices(tmp_path / "devices.key").cookie_for("sian", "")
    assert Devices(tmp_path / "devices.key").device_of("sian", cookie)


def test_a_key_that_cannot_be_stored_still_makes_valid_tokens(tmp_path):
    devices = Devices(tmp_path / "missing" / "devices.key")
    assert devices.device_of("sian", devices.cookie_for("sian", ""))
