"""Routes and destinations: the targets of a call or transfer, and their classes."""

import pytest

from config.values import Listener, Pattern, Peer
from galwad.settings.switch import Destination, Route
from galwad.switch.edge.phones import Phones
from galwad.switch.edge.routing import AWAY_RING_AFTER_S, AwayUsers, Router, check_uris
from recording.policy import DestinationClass
from telephony.b2bua import NO_GRANTS, Grants
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri


def targets(router, called, now):
    """Return the targets of a call to this number."""
    route = router.route(called)
    assert route is not None
    return router.targets(route, called, now)


@pytest.fixture
def router(settings, phones):
    return Router(settings, phones)


def refer(router, text, now=0.0):
    return router.refer(NameAddr.parse(text), now)


def test_a_ring_group_rings_only_the_registered_phones_of_its_extensions(router, register):
    register("201", "sip:201@10.0.0.1", 0.0)
    (target,) = targets(router, "01970000000", 1.0)
    assert (target.name, target.user) == ("201", "sian")
    assert target.destination == Address("192.0.2.50", 5066)


def test_a_phone_behind_a_proxy_is_rung_through_the_proxy(router, register):
    register("201", "sip:201@10.0.0.1", 0.0, path="<sip:192.0.2.50:5070;lr>")
    (target,) = router.targets(router.route("01970000000"), "01970000000", 1.0)
    assert target.destination == Address("192.0.2.50", 5070)
    assert [str(proxy) for proxy in target.path] == ["<sip:192.0.2.50:5070;lr>"]


def test_a_ring_group_without_phones_rings_nobody(router):
    assert router.targets(router.route("01970000000"), "01970000000", 1.0) == ()


def test_a_number_without_a_route_is_not_routed(router):
    assert router.route("0999") is None


def test_a_target_without_a_user_part_is_dialled_by_the_called_number(router):
    (target,) = router.targets(router.route("412"), "412", 0.0)
    assert str(target.uri) == "sip:412@192.0.2.21:5080"
    assert target.destination == Address("192.0.2.21", 5080)


def test_a_target_at_a_trusted_trunks_address_is_trusted_with_names(settings, phones):
    trunk = settings.trunks[0].model_copy(update={"peers": (Peer.parse("192.0.2.21"),)})
    for trusted in (True, False):
        known = (trunk.model_copy(update={"trusted": trusted}),)
        router = Router(settings.model_copy(update={"trunks": known}), phones)
        (inside,) = targets(router, "412", 0.0)
        (other,) = targets(router, "01971", 0.0)
        assert (inside.trust, other.trust) == (trusted, False)


def test_a_target_at_a_trusted_trunk_may_send_what_the_settings_allow_the_trunk(settings, phones):
    allowed = {
        "headers": ("X-Queue",),
        "ring_tones": ("Bellcore-dr2",),
        "auto_answer": True,
        "messages": True,
    }
    peers = {"peers": (Peer.parse("192.0.2.21"),)}
    for trusted in (True, False):
        trunk = settings.trunks[0].model_copy(update=allowed | peers | {"trusted": trusted})
        router = Router(settings.model_copy(update={"trunks": (trunk,)}), phones)
        (inside,) = targets(router, "412", 0.0)
        (other,) = targets(router, "01971", 0.0)
        granted = Grants(frozenset({"x-queue"}), ("Bellcore-dr2",), auto_answer=True, messages=True)
        assert (inside.grants, other.grants) == (granted if trusted else NO_GRANTS, NO_GRANTS)


def test_a_transfer_follows_the_user_part_of_a_refer_to_and_never_its_host(router):
    referral = refer(router, "<sip:301@evil.example.net>")
    assert referral.destination is DestinationClass.DEPARTMENT
    assert referral.targets[0].destination == Address("192.0.2.30", 5060)


def test_a_registered_phone_is_in_the_centre(router, register):
    register("201", "sip:201@10.0.0.1", 0.0)
    assert refer(router, "<sip:201@galwad>").destination is DestinationClass.CENTRE


def test_a_transfer_target_that_only_a_route_reaches_is_of_class_unknown(router):
    assert refer(router, "<sip:412@galwad>").destination is DestinationClass.UNKNOWN


@pytest.mark.parametrize(
    ("number", "listed", "destination"),
    [
        ("*68", None, "unknown"),
        ("#72", None, "unknown"),
        ("*68", {"match": "*6*", "class": "department"}, "department"),
        ("*68", {"match": "*68", "class": "centre"}, "centre"),
        ("268", None, "centre"),
    ],
)
def test_a_feature_code_of_a_pbx_with_advisors_has_the_class_unknown_unless_it_is_listed(
    settings, phones, number, listed, destination
):
    behind = {"called": "/[*#2].*/", "target": "sip:192.0.2.20", "advisors": ["sian"]}
    destinations = () if listed is None else (Destination.model_validate(listed),)
    changed = {"routes": (Route.model_validate(behind),), "destinations": destinations}
    router = Router(settings.model_copy(update=changed), phones)
    assert refer(router, f"<sip:{number}@galwad>").destination.value == destination


@pytest.mark.parametrize("user", ["0999", "", "201", "299"])
def test_a_refer_to_that_cannot_be_dialled_is_refused(router, user):
    assert refer(router, f"<sip:{user}@galwad>" if user else "<sip:galwad>") is None


def test_an_identity_is_classed_by_destination_then_by_phone(router):
    assert router.classify(Uri.parse("sip:301@pbx")) is DestinationClass.DEPARTMENT
    assert router.classify(Uri.parse("sip:201@pbx")) is DestinationClass.CENTRE
    assert router.classify(Uri.parse("sip:07700900123@pbx")) is DestinationClass.UNKNOWN


def test_an_invalid_target_uri_in_the_settings_is_reported(settings):
    assert check_uris(settings) == []
    (route, *others) = settings.routes
    broken = route.model_copy(update={"ring": None, "target": ("sip:[::1",)})
    (fault,) = check_uris(settings.model_copy(update={"routes": (broken, *others)}))
    assert fault.startswith("sip:[::1")


@pytest.mark.parametrize("uri", ["sip:%33%30%31@x", "tel:3-01", "sip:301;phone-context=x@y"])
def test_each_spelling_of_a_refer_to_gives_the_same_target(router, uri):
    referral = refer(router, f"<{uri}>")
    assert str(referral.targets[0].uri) == "sip:301@192.0.2.30"


def test_the_dialled_text_is_escaped_in_a_target_without_a_user_part(router):
    (target,) = router.targets(router.route("4@*#"), "4@*#", 0.0)
    assert str(target.uri) == "sip:4%40*%23@192.0.2.21:5080"


def test_a_call_to_an_empty_number_goes_to_the_target_without_a_user_part(router):
    (target,) = router.targets(router.route("412"), "", 0.0)
    assert str(target.uri) == "sip:192.0.2.21:5080"


def ruled(settings, **rules):
    """The settings with these `srtp` rules: of the media, the phone 201, a route, a destination."""
    media = settings.media.model_copy(update={"srtp": rules.get("media", "optional")})
    parts = {
        name: tuple(
            each.model_copy(update={"srtp": rules.get(name)}) for each in getattr(settings, name)
        )
        for name in ("phones", "routes", "destinations")
    }
    return settings.model_copy(update={"media": media, **parts})


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ({}, ("optional", "optional", "optional")),
        ({"media": "off"}, ("off", "off", "off")),
        ({"media": "off", "routes": "required"}, ("required", "required", "off")),
        ({"routes": "required", "phones": "off"}, ("off", "required", "optional")),
        ({"destinations": "required"}, ("optional", "optional", "required")),
    ],
)
def test_the_most_specific_srtp_rule_applies(settings, phones, register, rules, found):
    register("201", "sip:201@10.0.0.1", 0.0)
    router = Router(ruled(settings, **rules), phones)
    called = ("01970000000", "0197123")
    rung, handed_on = (targets(router, c, 1.0)[0].srtp for c in called)
    assert (rung, handed_on, refer(router, "<sip:301@galwad>").targets[0].srtp) == found


def test_a_phone_whose_connection_is_closed_is_not_a_target(settings, phones, register):
    flow = Address("192.0.2.50", 40123, "TCP", flow=7)
    register("201", "sip:201@10.0.0.1;transport=tcp", 0.0, source=flow)
    stands = {flow}
    router = Router(settings, phones, lambda address: address in stands)
    (target,) = targets(router, "01970000000", 1.0)
    assert target.destination == flow
    stands.clear()
    assert targets(router, "01970000000", 1.0) == ()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sip:1@192.0.2.20", Address("192.0.2.20", 5060)),
        ("sip:1@192.0.2.20;transport=tcp", Address("192.0.2.20", 5060, "TCP")),
        ("sip:1@[2001:db8::2];transport=tls", Address("2001:db8::2", 5061, "TLS")),
        ("sips:1@192.0.2.20:5071", Address("192.0.2.20", 5071, "TLS")),
    ],
)
def test_a_target_uri_gives_transport_address_and_port(settings, phones, text, address):
    route = settings.routes[1].model_copy(update={"target": (text,)})
    ways = ("udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "tls:[::1]:0")
    sip = settings.sip.model_copy(update={"listen": tuple(map(Listener.parse, ways))})
    router = Router(settings.model_copy(update={"routes": (route,), "sip": sip}), phones)
    assert [t.destination for t in router.targets(route, "1", 0.0)] == [address]


def test_a_target_with_a_transport_that_is_not_listened_on_is_not_rung(settings, phones):
    route = settings.routes[1].model_copy(update={"target": ("sip:1@192.0.2.20;transport=tcp",)})
    router = Router(settings.model_copy(update={"routes": (route,)}), phones)
    assert router.targets(route, "1", 0.0) == ()


def test_a_list_of_targets_gives_one_target_with_alternatives_and_puts_a_failed_one_last(
    settings, phones
):
    uris = ("sip:600@192.0.2.20", "sip:x.invalid", "sip:192.0.2.21:5080", "sip:[2001:db8::1]")
    route = settings.routes[1].model_copy(update={"target": uris})
    trunk = settings.trunks[0].model_copy(update={"peers": (Peer.parse("192.0.2.21"),)})
    more = {"routes": (route,), "trunks": (trunk,)}
    router = Router(settings.model_copy(update=more), phones)
    (target,) = router.targets(route, "0197", 0.0)
    (second,) = target.alternatives
    assert [str(each.uri) for each in (target, second)] == [
        "sip:600@192.0.2.20",
        "sip:0197@192.0.2.21:5080",
    ]
    assert [each.trust for each in (target, second)] == [False, True]
    router.locations.mark_failed(target.destination)
    (target,) = router.targets(route, "0197", 0.0)
    assert target.destination == Address("192.0.2.21", 5080)
    assert target.following == target.alternatives[0]
    assert target.alternatives[0].destination == Address("192.0.2.20", 5060)


def test_a_route_whose_targets_are_of_several_classes_is_of_class_unknown(settings, phones):
    both = ("sip:301@192.0.2.20", "sip:299@192.0.2.20")
    router = Router(routes(settings, target=both), phones)
    assert router.classify(Uri.parse("sip:01632960100@pbx")) is DestinationClass.UNKNOWN


def test_a_registered_phone_can_dial_colleagues_and_departments(router, register):
    register("202", "sip:202@10.0.0.1", 0.0)
    for dialled in ("202", "301"):
        assert router.route(dialled) is None
    colleague = router.route("202", by_phone=True)
    (target,) = router.targets(colleague, "202", 1.0)
    assert target.name == "202"
    department = router.route("301", by_phone=True)
    (target,) = router.targets(department, "301", 1.0)
    assert target.destination == Address("192.0.2.30", 5060)
    assert router.route("0999", by_phone=True) is None


@pytest.mark.parametrize(
    ("dialled", "place"),
    [
        ("301", (DestinationClass.DEPARTMENT, "3*")),
        ("299", (DestinationClass.PAYMENT, "299")),
        ("201", (DestinationClass.CENTRE, "201")),
        ("0999", (DestinationClass.UNKNOWN, "")),
    ],
)
def test_a_dialled_number_has_its_destination_class(router, dialled, place):
    assert router.place(dialled) == place


def test_a_phone_can_redirect_an_unanswered_call_only_to_colleagues(router, register):
    register("202", "sip:202@10.0.0.2", 0.0)
    register("201", "sip:201@10.0.0.1", 0.0)

    def divert(text):
        return [t.name for t in router.divert(NameAddr.parse(text), 1.0)]

    assert divert("<sip:202@203.0.113.9>") == ["202"]
    assert divert("<sip:201@203.0.113.9>") == ["201"]
    for other in ("301", "299", "0123456789", "premium"):
        assert divert(f"<sip:{other}@203.0.113.9>") == []


def routes(settings, **route):
    """Return a router whose only route, of the number 01632960100, has these fields."""
    one = Route(called=Pattern.parse("01632960100"), **route)
    return settings.model_copy(update={"routes": (one,)})


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ({"ring": ("201",)}, DestinationClass.CENTRE),
        ({"ring": ("201", "202")}, DestinationClass.CENTRE),
        ({"ring": ("201", "209")}, DestinationClass.CENTRE),
        ({"ring": ("209",)}, DestinationClass.UNKNOWN),
        ({"ring": ("201", "301")}, DestinationClass.UNKNOWN),
        ({"ring": ("301",)}, DestinationClass.DEPARTMENT),
        ({"target": "sip:301@192.0.2.20"}, DestinationClass.DEPARTMENT),
        ({"target": "sip:299@192.0.2.20"}, DestinationClass.PAYMENT),
        ({"target": "sip:600@192.0.2.20"}, DestinationClass.UNKNOWN),
        ({"target": "sip:600@192.0.2.20", "advisors": ("sian",)}, DestinationClass.CENTRE),
        ({"target": "sip:192.0.2.20", "advisors": ("sian",)}, DestinationClass.CENTRE),
        ({"target": "sip:192.0.2.20"}, DestinationClass.UNKNOWN),
    ],
)
@pytest.mark.parametrize("number", ["01632960100", "+441632960100"])
def test_the_number_of_a_route_has_the_class_of_what_the_route_rings(
    settings, phones, route, kind, number
):
    router = Router(routes(settings, **route), phones)
    assert router.classify(Uri.parse(f"sip:{number}@pbx")) is kind
    label = "" if kind is DestinationClass.UNKNOWN else "01632960100"
    assert router.place(number) == (kind, label)


def test_a_transfer_to_the_number_of_a_line_of_the_centre_is_within_the_centre(
    settings, phones, register
):
    register("201", "sip:201@10.0.0.1", 0.0)
    router = Router(routes(settings, ring=("201",)), phones)
    assert refer(router, "<sip:01632960100@galwad>").destination is DestinationClass.CENTRE


@pytest.fixture
def ring_order(settings, register):
    """Return a function: which of sian (201) and gwen (202) ring first and later for a line."""
    gwen = settings.phones[1].model_copy(update={"user": "gwen"})
    phones = Phones(settings.node.state / "switch", [settings.phones[0], gwen], "galwad")

    def ring_order(away=(), registered=("201", "202"), *, skip=True):
        for each in registered:
            register(each, f"sip:{each}@192.0.2.50", 0.0, phones=phones)
        users = AwayUsers()
        users.set(away)
        router = Router(settings, phones, away=users)
        route = settings.routes[0].model_copy(update={"skip_away": skip})
        first, later = router.ring_order(route, "01970000000", 1.0)
        return [each.name for each in first], later

    return ring_order


def test_a_line_that_skips_advisors_who_are_away_rings_them_later(ring_order):
    first, later = ring_order(["gwen"])
    assert first == ["201"]
    assert ([each.name for each in later.targets], later.after) == (["202"], AWAY_RING_AFTER_S)


def test_a_line_whose_advisors_are_all_away_rings_all_of_them_at_once(ring_order):
    assert ring_order(["sian", "gwen"]) == (["201", "202"], None)


def test_a_line_rings_the_only_registered_phone_at_once_although_its_user_is_away(ring_order):
    assert ring_order(["gwen"], ["202"]) == (["202"], None)


def test_a_line_without_skip_away_rings_all_phones_at_once(ring_order):
    assert ring_order(["gwen"], skip=False) == (["201", "202"], None)


def test_a_line_rings_all_phones_at_once_if_no_advisor_is_away(ring_order):
    assert ring_order() == (["201", "202"], None)
