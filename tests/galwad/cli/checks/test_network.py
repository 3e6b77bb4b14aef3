"""The checks of the IP filter, of targets and emergency calls, and of SRTP without TLS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from galwad.cli.checks.files import UNIT
from galwad.cli.checks.network import check_ip_filter, check_routes, check_srtp
from galwad.settings import load
from helpers.name_server import NameServer
from telephony.aio.resolver import Resolver

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
        results = check_ip_filter(load(file), (etc, lib))
        return [each.fix if fixes else (each.grade.value, each.text) for each in results]

    return told


def without_phones(results):
    """Return the results about trunks and targets."""
    return [each for each in results if not each[1].startswith("phones")]


FINE = [("fine", "the unit lets all trunks and targets through")]


def test_private_peers_pass_the_ip_filter_of_the_shipped_unit(told):
    peers = ("10.1.2.3", "172.16.0.0/16", "192.168.7.7:5060", "fd00::1", "127.0.0.1")
    assert without_phones(told(*peers, target="sip:600@192.168.1.1")) == FINE


@pytest.mark.parametrize("peer", ["192.0.2.1", "198.51.100.0/28", "2001:db8::1", "10.0.0.0/7"])
def test_a_peer_that_the_unit_drops_is_a_warning(told, peer):
    warning = ("warning", f"trunk pstn: the unit drops packets from and to {peer}")
    assert without_phones(told(peer)) == [warning]


@pytest.mark.parametrize("peer", ["0.0.0.0/0", "::/0", "192.0.0.0/8", "2000::/3"])
def test_no_remedy_opens_the_ip_filter_for_a_very_large_network(told, peer):
    (fix,) = [each for each in told(peer, fixes=True) if each]
    assert "IPAddressAllow" not in fix
    assert fix.endswith("Name only the provider's addresses in peers, and then allow these")


def test_the_remedy_opens_the_ip_filter_for_one_provider(told):
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
def test_drop_ins_of_the_administrator_change_what_the_unit_lets_through(told, drop_in, passes):
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
    assert list(check_ip_filter(load(settings_file), (tmp_path / "none",))) == []


ZONE = {
    ("_sip._udp.trunk.example.", "SRV"): "1 1 5060 one.trunk.example.\n2 1 5060 two.trunk.example.",
    ("one.trunk.example.", "A"): "192.0.2.1",
    ("two.trunk.example.", "A"): "192.0.2.2",
    ("v6.example.", "AAAA"): "2001:db8::1",
}


@pytest.fixture
def found(settings_file):
    """Return the results for these routes, each a pair of a called number and its target."""
    server = NameServer(ZONE)

    def found(*routes, more=""):
        text = settings_file.read_text()
        text = text.replace("max_calls = 10\n", f"max_calls = 10\n{more}\n")
        for called, target in routes:
            text += f"[[routes]]\ncalled = '{called}'\ntarget = {target}\n"
        settings_file.write_text(text)
        dns = Resolver(nameservers=["127.0.0.1"], port=server.port)
        return [(each.grade.value, each.text) for each in check_routes(load(settings_file), dns)]

    yield found
    server.end()


def test_a_target_that_dns_does_not_know_is_named(found):
    results = found(
        ("1*", ["sip:trunk.example", "sip:600@gone.example"]),
        ("2*", ["sip:v6.example"]),
        ("999", ["sip:192.0.2.1"]),
    )
    gone = "no address is known, so no call goes there"
    assert [text for grade, text in results if grade == "fault"] == [
        f"sip:600@gone.example: {gone}",
        f"sip:v6.example: {gone}",
    ]


def test_the_route_of_each_emergency_number_is_shown(found):
    assert found(("999", ["sip:trunk.example", "sip:192.0.2.9"])) == [
        ("fine", "999 goes to sip:trunk.example, then sip:192.0.2.9"),
        ("fine", "112 goes to sip:trunk.example, then sip:192.0.2.9"),
    ]


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ([], "no route with a target for 999, 112"),
        ([("0*", ["sip:192.0.2.1"])], "no route with a target for 999, 112"),
        ([("9*", ["sip:gone.example"])], "no target of the route 9* has a known address"),
    ],
)
def test_a_centre_without_a_route_for_emergency_calls_is_warned(found, routes, problem):
    wanted = ("warning", f"an emergency call from a phone would fail: {problem}")
    assert wanted in found(*routes)


def test_a_centre_without_emergency_numbers_is_not_warned(found):
    assert found(more="emergency_numbers = []") == []


def test_an_invalid_target_is_named_before_any_name_is_looked_up(found):
    ((grade, text),) = found(("1*", ["sip:[::1"]))
    assert grade == "fault"
    assert text.startswith("sip:[::1")


SETTINGS = """
[sip]
listen = {listen}
tls_certificate = "/etc/galwad/tls.crt"
tls_key = "/etc/galwad/tls.key"
[[trunks]]
name = "pstn"
peers = ["192.0.2.1"]
{trunk}
[[phones]]
extension = "201"
ha1_md5 = "00000000000000000000000000000000"
{phone}
[[routes]]
called = "1"
target = "sip:600@192.0.2.20{parameter}"
{route}
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "KwkUlZ3cD2rQKwd+trTdFK5XKpo9xov980Lv0Jm5VFc="
"""


UDP, BOTH = '["udp:127.0.0.1:5060"]', '["udp:127.0.0.1:5060", "tls:127.0.0.1:5061"]'


MUST, TLS = 'srtp = "required"', 'transport = "tls"'


@pytest.fixture
def warned(tmp_path):
    """The peers that the check names with these settings."""

    def check(listen=BOTH, **parts):
        path = tmp_path / "galwad.toml"
        blank = {"trunk": "", "phone": "", "route": "", "parameter": ""}
        text = SETTINGS.format(listen=listen, **(blank | parts))
        if listen == UDP:
            text = "\n".join(line for line in text.splitlines() if not line.startswith("tls_"))
        path.write_text(text)
        found = list(check_srtp(load(path)))
        assert all(finding.grade == "warning" and finding.fix for finding in found)
        return [finding.text.partition(" must")[0] for finding in found]

    return check


def test_no_warning_is_given_if_no_peer_requires_srtp(warned):
    assert warned(listen=UDP) == warned() == []


def test_without_tls_each_peer_that_requires_srtp_is_named(warned):
    named = warned(listen=UDP, trunk=MUST, phone=MUST, route=MUST)
    assert named == ["trunk pstn", "phone 201", "route 1"]


def test_a_peer_that_requires_srtp_and_signals_only_over_tls_is_not_named(warned):
    parts = {"trunk": f"{MUST}\n{TLS}", "phone": f"{MUST}\n{TLS}", "route": MUST}
    assert warned(**parts, parameter=";transport=tls") == []
    assert warned(**parts) == ["route 1"]


def test_a_trunk_that_requires_srtp_and_may_also_use_udp_is_named(warned):
    assert warned(trunk=MUST) == ["trunk pstn"]
