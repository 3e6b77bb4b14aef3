"""The check of the IP filter names dropped trunks and targets, and the networks for phones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from galwad.cli.checks.ip_filter import UNIT, check_in
from galwad.settings import load

SHIPPED = Path(__file__).parents[4] / "systemd" / UNIT


@pytest.fixture
def told(settings_file, tmp_path):
    """Return the results of the check of these peers and targets, with the unit that we ship."""
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    (etc / f"{UNIT}.d").mkdir(parents=True)
    lib.mkdir()
    shutil.copy(SHIPPED, lib / UNIT)

    def told(*peers, target="", drop_in="", fixes=False):
        (etc / f"{UNIT}.d" / "override.conf").write_text(drop_in)
        text = settings_file.read_text()
        text += f'[[trunks]]\nname = "pstn"\npeers = {list(peers) or ["10.0.0.1"]}\n'
        if target:
            text += f'[[routes]]\ncalled = "*"\ntarget = "{target}"\n'
        file = tmp_path / "with-peers.toml"
        file.write_text(text)
        results = check_in(load(file), (etc, lib))
        return [each.fix if fixes else (each.grade.value, each.text) for each in results]

    return told


def without_phones(results):
    """Return the results about trunks and targets."""
    return [each for each in results if not each[1].startswith("phones")]


FINE = [("fine", "the unit lets all trunks and targets through")]


def test_private_peers_pass_the_unit_that_we_ship(told):
    peers = ("10.1.2.3", "172.16.0.0/16", "192.168.7.7:5060", "fd00::1", "127.0.0.1")
    assert without_phones(told(*peers, target="sip:600@192.168.1.1")) == FINE


@pytest.mark.parametrize("peer", ["192.0.2.1", "198.51.100.0/28", "2001:db8::1", "10.0.0.0/7"])
def test_a_peer_that_the_unit_drops_is_a_warning(told, peer):
    warning = ("warning", f"trunk pstn: the unit drops packets from and to {peer}")
    assert without_phones(told(peer)) == [warning]


@pytest.mark.parametrize("peer", ["0.0.0.0/0", "::/0", "192.0.0.0/8", "2000::/3"])
def test_the_filter_is_never_to_be_opened_for_the_whole_world(told, peer):
    (fix,) = [each for each in told(peer, fixes=True) if each]
    assert "IPAddressAllow" not in fix
    assert fix.endswith("Name only the provider's addresses in peers, and then here")


def test_the_filter_is_to_be_opened_for_one_provider(told):
    (fix,) = [each for each in told("198.51.100.0/28", fixes=True) if each]
    assert "IPAddressAllow=198.51.100.0/28" in fix


def test_a_target_that_the_unit_drops_is_a_warning_and_a_name_is_not_checked(told):
    (found,) = without_phones(told(target="sip:600@203.0.113.9:5061;transport=tls"))
    assert found[0] == "warning"
    assert found[1].endswith("packets from and to 203.0.113.9")
    assert without_phones(told(target="sip:600@pbx.example")) == FINE


@pytest.mark.parametrize(
    ("drop_in", "passes"),
    [
        ("[Service]\nIPAddressAllow=192.0.2.0/24\n", True),
        ("[Service]\nIPAddressAllow = 192.0.2.1 198.51.100.1\n", True),
        ("[Service]\nIPAddressAllow=any\n", True),
        ("[Service]\nIPAddressDeny=\n", True),
        ("[Service]\nIPAddressAllow=nonsense 192.0.2.1\n", True),
        ("[Service]\nIPAddressAllow=\nIPAddressAllow=localhost\n", False),
        ("[Service]\n# IPAddressAllow=192.0.2.1\n", False),
    ],
)
def test_drop_ins_of_the_administrator_count(told, drop_in, passes):
    assert (without_phones(told("192.0.2.1", drop_in=drop_in)) == FINE) is passes


@pytest.mark.parametrize(
    ("drop_in", "networks"),
    [
        (
            "",
            "127.0.0.0/8, ::1/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, fe80::/10",
        ),
        ("[Service]\nIPAddressAllow=\nIPAddressAllow=203.0.113.0/24\n", "203.0.113.0/24"),
        ("[Service]\nIPAddressAllow=\n", "nowhere"),
        ("[Service]\nIPAddressDeny=\n", "all networks"),
    ],
)
def test_the_networks_from_which_phones_can_register_are_named(told, drop_in, networks):
    assert told(drop_in=drop_in)[-1] == ("fine", f"phones can reach the switch from {networks}")


def test_without_an_installed_unit_there_is_no_result(settings_file, tmp_path):
    assert list(check_in(load(settings_file), (tmp_path / "none",))) == []
