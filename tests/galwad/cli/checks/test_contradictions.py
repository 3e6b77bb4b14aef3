"""`galwad check` names settings that are valid one by one, but contradict each other."""

from __future__ import annotations

import pytest

from galwad.cli.checks.contradictions import check_contradictions
from galwad.settings import load

TRUNK = '[[trunks]]\nname = "{}"\npeers = ["{}"]\n{}\n'
ROUTE = '[[routes]]\ncalled = "{}"\nring = ["201"]\n'
DESTINATION = '[[destinations]]\nmatch = "{}"\nclass = "{}"\n{}\n'
SIGN_IN = """
[sign_in]
issuer = "{}"
client_id = "galwad"
secret_file = "/etc/galwad/secret"
roles = {{ advisors = "advisor" }}
"""


@pytest.fixture
def found(settings_file, tmp_path):
    """Return a function that checks these settings, with a part of the others changed."""

    def found(text="", *change):
        path = tmp_path / "changed.toml"
        before = settings_file.read_text()
        path.write_text((before.replace(*change) if change else before) + text)
        found = check_contradictions(load(path))
        return [(each.name, each.grade.value, each.text) for each in found]

    return found


def test_settings_without_a_contradiction_give_no_result(found):
    udp, tls = 'transport = "udp"', 'transport = "tls"'
    trunks = TRUNK.format("one", "192.0.2.1:5060", udp) + TRUNK.format("two", "192.0.2.1:5080", udp)
    trunks += TRUNK.format("three", "192.0.2.1", tls)
    routes = ROUTE.format("01970000000") + ROUTE.format("0197*") + ROUTE.format("*")
    target = 'target = "sip:700@{}"'
    destinations = DESTINATION.format("700", "payment", target.format("pay.example"))
    destinations += DESTINATION.format("600", "centre", target.format("pbx.example"))
    destinations += DESTINATION.format("Repairs", "centre", "")
    origin = SIGN_IN.format("https://login.microsoftonline.com/0a1b/v2.0")
    desk = '[desk]\npublic_origin = "http://127.0.0.1:8443"'
    assert found(trunks + routes + destinations + origin, "[desk]", desk) == []


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1/32"),
        ("192.0.2.0/24", "192.0.2.1:5060", "192.0.2.1/32:5060"),
        ("2001:db8::/32", "2001:db8::1", "2001:db8::1/128"),
    ],
)
def test_the_same_peer_in_two_trunks_is_a_warning_with_the_trunk_that_counts(
    found, one, other, named
):
    text = TRUNK.format("pstn", one, "") + TRUNK.format("other", other, "")
    expected = f"{named} belongs to the trunks pstn and other: its calls count as those of pstn"
    assert found(text) == [("trunks", "warning", expected)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("*", "01970000000"),
        ("*", "0197*"),
        ("*", "/0197[0-9]{6}/"),
        ("0197*", "01970000000"),
        ("0197*", "019700*"),
        ("/0197[0-9]*/", "01970000000"),
        ("0197*", "+441970000000"),
    ],
)
def test_a_route_that_an_earlier_route_hides_is_a_warning(found, first, second):
    ((name, grade, text),) = found(ROUTE.format(first) + ROUTE.format(second))
    assert (name, grade) == ("routes", "warning")
    hides = f"the route {first}, which is before it, matches all of its calls"
    assert text == f"the route {second} is never used: {hides}"


@pytest.mark.parametrize(("kind", "grade"), [("payment", "fault"), ("centre", "warning")])
def test_a_destination_that_an_earlier_destination_hides_is_named(found, kind, grade):
    target = 'target = "sip:701@pay.example"'
    text = DESTINATION.format("7*", "centre", "") + DESTINATION.format("701", kind, target)
    hides = "7* (centre), which is before it, matches the same parties"
    counts = f"the destination 701 ({kind}) is never used: {hides}"
    assert ("destinations", grade, counts) in found(text)


def test_a_centre_destination_with_the_target_of_a_payment_line_is_a_fault(found):
    target = 'target = "sip:0911@pay.example"'
    text = DESTINATION.format("0911", "payment", target) + DESTINATION.format(
        "80", "centre", target
    )
    expected = "80 counts as centre, but leads to the payment line 0911"
    assert found(text) == [("destinations", "fault", expected)]


@pytest.mark.parametrize(
    ("match", "target"),
    [
        ("0911", "sip:0911@pay.example"),
        ("payments", "sip:1@pbx.example"),
        ("0911", "sip:card-line@pbx.example"),
        ("taliadau", "sip:1@pbx.example"),
    ],
)
def test_a_centre_destination_that_is_named_like_a_payment_line_is_a_warning(found, match, target):
    ((name, grade, text),) = found(DESTINATION.format(match, "centre", f'target = "{target}"'))
    assert (name, grade) == ("destinations", "warning")
    assert text.startswith(f'{match} seems to be a payment line, but counts as "centre"')


@pytest.mark.parametrize(
    ("target", "class_"),
    [
        ('target = "sip:0911@pay.example;transport=udp"', "payment"),
        ('target = "sip:0911@other.example"', "department"),
        ('target = "sip:55@pay.example"', "external"),
        ('ring = ["0911"]', "department"),
    ],
)
def test_a_route_to_a_party_outside_the_centre_is_a_warning(found, target, class_):
    place = "55" if "55" in target else "0911"
    line = DESTINATION.format("0911", class_, f'target = "sip:{place}@pay.example"')
    ((name, grade, text),) = found(f'{line}[[routes]]\ncalled = "66"\n{target}\n')
    assert (name, grade) == ("routes", "warning")
    unrecorded = f"which counts as {class_}: calls on this route are not recorded"
    assert text == f"the route 66 leads to 0911, {unrecorded}"


def test_media_ports_with_the_port_of_sip_are_a_fault(found, ports):
    port = int(str(ports).partition("-")[0]) + 1
    before, after = "udp:127.0.0.1:0", f"udp:127.0.0.1:{port}"
    expected = f"[media] ports {ports} include the port {port} of [sip] listen"
    assert found("", before, after) == [("media", "fault", expected)]


@pytest.mark.parametrize(
    "table", [ROUTE.format("7100"), ROUTE.format("1").replace("201", "7100"),
              DESTINATION.format("7100", "department", "")]
)  # fmt: skip
def test_a_payment_code_that_can_be_dialled_is_a_fault(found, table):
    codes = 'payment_code_on = "7100"\npayment_code_off = "*72"\n[desk]'
    ((name, grade, text),) = found(table, "[desk]", codes)
    assert (name, grade) == ("payment codes", "fault")
    assert text.startswith("7100 pauses or resumes a recording, and is also a number")


def test_an_origin_without_tls_is_a_fault(found):
    desk = '[desk]\npublic_origin = "http://galwad.example"'
    ((name, grade, text),) = found("", "[desk]", desk)
    assert (name, grade) == ("tls", "fault")
    assert text.startswith("[desk] public_origin is http://galwad.example: passwords would pass")


@pytest.mark.parametrize("tenant", ["common", "organizations", "consumers"])
def test_an_issuer_for_every_organisation_is_a_fault(found, tenant):
    issuer = f"https://login.microsoftonline.com/{tenant}/v2.0"
    ((name, grade, text),) = found(SIGN_IN.format(issuer))
    assert (name, grade) == ("sign-in", "fault")
    assert text == f'[sign_in] issuer is {issuer}: "{tenant}" is not one organisation'


def test_a_rule_of_retention_for_a_line_that_no_route_has_is_a_warning(found):
    rule = '[[retention]]\ncategory = "waste"\nkeep = "by hand"\nlines = ["{}"]\n'
    route = ROUTE.format("01970000000") + 'line = "Waste"\n'
    assert found(route, "[[retention]]", f"{rule.format('WASTE')}[[retention]]") == []
    ((name, grade, text),) = found(route, "[[retention]]", f"{rule.format('Waist')}[[retention]]")
    assert (name, grade) == ("retention", "warning")
    assert "no route has the line Waist" in text
