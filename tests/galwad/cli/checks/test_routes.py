"""The check of targets and of the route for emergency calls, with a name server on loopback."""

from __future__ import annotations

import pytest

from galwad.cli.checks.routes import check
from galwad.settings import load
from helpers.name_server import NameServer
from telephony.aio.resolver import Resolver

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
        return [(each.grade.value, each.text) for each in check(load(settings_file), dns)]

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
        ([("9*", ["sip:gone.example"])], "no address is known of the targets of the route 9*"),
    ],
)
def test_a_centre_without_a_route_for_emergency_calls_is_warned(found, routes, problem):
    wanted = ("warning", f"an emergency call of a phone gets nowhere: {problem}")
    assert wanted in found(*routes)


def test_a_centre_without_emergency_numbers_is_not_warned(found):
    assert found(more="emergency_numbers = []") == []


def test_an_invalid_target_is_named_before_any_name_is_looked_up(found):
    ((grade, text),) = found(("1*", ["sip:[::1"]))
    assert grade == "fault"
    assert text.startswith("sip:[::1")
