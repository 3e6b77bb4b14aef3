"""Emergency calls: what is called, which route carries them, and that no overload refuses them."""

from __future__ import annotations

import time

import pytest

from galwad.settings.switch import Destination, Route
from galwad.switch.edge.emergency import called_number
from galwad.switch.edge.routing import Router
from helpers.switch import SWITCH, Centre, sdp
from recording.policy import DestinationClass
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri

TRUNK = "sip:192.0.2.21:5060"
OUT = Route.model_validate({"called": "999", "target": TRUNK})


@pytest.fixture
def change(settings):
    """Returns the settings with these routes before the others, and this [sip] table."""

    def change(*routes, **sip):
        return settings.model_copy(
            update={
                "routes": (*routes, *settings.routes),
                "sip": settings.sip.model_copy(update=sip),
            }
        )

    return change


@pytest.mark.parametrize(
    ("uri", "called"),
    [
        ("sip:999@192.0.2.9", "999"),
        ("sip:112;phone-context=+44@192.0.2.9;user=phone", "112"),
        ("tel:999;phone-context=+44", "999"),
        ("tel:9-9-9;phone-context=council.example", "999"),
        ("urn:service:sos", "999"),
        ("URN:SERVICE:SOS.Fire", "999"),
        ("urn:service:sos.ecall.manual", "999"),
        ("urn:service:counseling", "service:counseling"),
        ("urn:service:sosnothing", "service:sosnothing"),
    ],
)
def test_each_form_of_an_emergency_number_is_recognised(settings, uri, called):
    assert called_number(settings, Uri.parse(uri)) == called


def test_without_emergency_numbers_a_service_urn_is_not_translated_to_a_number(change, phones):
    settings = change(emergency_numbers=())
    assert called_number(settings, Uri.parse("urn:service:sos")) == "service:sos"
    assert Router(settings, phones).emergency.fault == ""


# --- routes -----------------------------------------------------------------------------------


@pytest.fixture
def router(change, phones):
    return lambda *routes: Router(change(*routes), phones)


def test_an_emergency_call_prefers_a_route_out_of_the_centre_to_a_route_that_rings_phones(router):
    ours = Route.model_validate({"called": "*", "ring": ["201"]})
    both = router(ours, OUT)
    assert both.route("999", by_phone=True, emergency=True) == OUT
    assert both.route("112", by_phone=True, emergency=True) == OUT
    assert both.route("999") == ours
    assert router(ours).route("999", by_phone=True, emergency=True) == ours


PBX = "sip:192.0.2.20"
EVERYTHING = {"match": "*", "class": "centre", "target": PBX}


@pytest.fixture
def with_everything_at_the_pbx(change, phones):
    """A function that makes a router whose PBX has every number; it adds these destinations."""

    def router(*destinations):
        first = Route.model_validate({"called": "*", "target": PBX})
        listed = tuple(map(Destination.model_validate, (EVERYTHING, *destinations)))
        return Router(change(first).model_copy(update={"destinations": listed}), phones)

    return router


@pytest.mark.parametrize("number", ["999", "112"])
def test_an_emergency_call_prefers_a_route_for_its_number_to_a_route_for_every_number(
    with_everything_at_the_pbx, number
):
    router = with_everything_at_the_pbx({"match": "999", "class": "external", "target": TRUNK})
    assert router.route(number, by_phone=True, emergency=True).target == (TRUNK,)
    transfer = router.refer(NameAddr.parse(f"<sip:{number}@192.0.2.9>"), 0.0)
    assert transfer.destination is DestinationClass.EXTERNAL
    assert transfer.targets[0].destination.host == "192.0.2.21"


def test_a_route_for_everything_carries_emergency_calls_if_no_other_route_does(
    with_everything_at_the_pbx,
):
    router = with_everything_at_the_pbx()
    assert router.route("999", by_phone=True, emergency=True).target == (PBX,)
    assert router.emergency.fault == ""


@pytest.mark.parametrize(
    ("routes", "fault"),
    [
        ([], "no route with a target for 999, 112"),
        ([{"called": "*", "ring": ["201"]}], "no route with a target for 999, 112"),
        (
            [{"called": "999", "target": "sip:x.invalid"}],
            "no target of the route 999 has a known address",
        ),
        ([{"called": "112", "target": TRUNK}], ""),
        ([{"called": "9*", "target": ["sip:x.invalid", TRUNK]}], ""),
    ],
)
def test_a_centre_without_a_way_out_for_emergency_calls_says_what_is_missing(router, routes, fault):
    found = router(*map(Route.model_validate, routes)).emergency.fault
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_an_emergency_route_whose_targets_are_all_silent_is_reported(router):
    two = router(Route.model_validate({"called": "999", "target": [TRUNK, "sip:192.0.2.22"]}))
    (target,) = two.targets(two.emergency.route("999"), "999", 0.0)
    two.locations.mark_down(target.destination)
    assert two.emergency.fault == ""
    (target,) = two.targets(two.emergency.route("999"), "999", 0.0)
    assert target.destination.host == "192.0.2.22"
    two.locations.mark_down(target.destination)
    assert two.emergency.fault == "no target of the route 999 answers"
    two.locations.mark_busy(target.destination, 5.0)
    assert two.emergency.fault == ""


# --- calls ------------------------------------------------------------------------------------


@pytest.fixture
async def full(change, phones, register):
    """A centre with a call from the trunk to the phone of sian; it may have no further one."""
    centre = Centre(change(OUT, max_calls=1), phones)
    centre.phone("192.0.2.201", "201", register)
    assert centre.phone("192.0.2.1", "07700900123").call("01970000000")
    centre.relay.full = True
    yield centre
    centre.end()
    assert centre.calls == {}


@pytest.fixture
def out(full):
    """The trunk to the emergency service."""
    return full.phone("192.0.2.21", "trunk")


def refused_with(phone, number):
    before = len(phone.failed)
    phone.call(number)
    return phone.failed[before:]


async def test_a_phone_reaches_999_when_calls_and_media_ports_are_used_up(full, out):
    gwen = full.phone("192.0.2.202", "202")
    assert refused_with(gwen, "412") == [503]
    assert refused_with(gwen, "999") == []
    assert [str(invite.request.uri) for invite in out.invites] == ["sip:999@192.0.2.21:5060"]
    assert gwen.statuses == [200]


async def test_a_phone_reaches_the_emergency_service_by_its_service_urn(full, out):
    gwen = full.phone("192.0.2.202", "202")
    gwen.endpoint.invite(
        Uri.parse("urn:service:sos.ambulance"),
        from_=NameAddr("", Uri.parse("sip:202@192.0.2.9")),
        to=NameAddr("", Uri.parse("urn:service:sos.ambulance")),
        destination=SWITCH,
        headers=(("Content-Type", "application/sdp"),),
        body=sdp(gwen.address.host),
        now=0.0,
    )
    full.run()
    assert gwen.statuses == [200]
    assert [invite.request.uri.user for invite in out.invites] == ["999"]


async def test_a_phone_reaches_999_while_the_switch_takes_no_other_new_calls(full, out):
    full.dispatcher._drained = lambda: True
    gwen = full.phone("192.0.2.202", "202")
    assert refused_with(gwen, "412") == [503]
    assert refused_with(gwen, "999") == []


async def test_a_late_switch_refuses_no_emergency_call(full, out):
    full.relay.full = False
    full.load._sip = full.load._sip.model_copy(update={"max_calls": 100})
    now = time.monotonic()
    for tenth in range(20):
        full.load.late(20.0, 20.0, now + tenth / 100)
    gwen = full.phone("192.0.2.202", "202")
    assert refused_with(gwen, "412") == [503]
    assert refused_with(gwen, "112") == []


async def test_a_call_from_outside_to_999_may_not_use_the_reserve(full, out):
    assert refused_with(full.phone("192.0.2.2", "07700900124"), "999") == [503]
    assert out.invites == []


async def test_an_emergency_call_that_nobody_takes_raises_an_alarm(full, out):
    out.final = 486
    assert refused_with(full.phone("192.0.2.202", "202"), "999") == [486]
    assert full.links.alarms == ["emergency.failed"]


async def test_an_emergency_call_without_a_route_raises_an_alarm(change, phones, register):
    centre = Centre(change(), phones)
    assert refused_with(centre.phone("192.0.2.202", "202"), "999") == [404]
    assert centre.links.alarms == ["emergency.failed"]
