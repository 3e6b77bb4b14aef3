"""The guard: rates, failures, bans and thinning by source, and the flows that are always heard."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.settings.switch import SipSection
from galwad.switch.edge import guard as subject
from galwad.switch.edge.guard import FloodGuard, SourceKind
from telephony.aio.connections import FilterVerdict
from telephony.sip.events import Address
from telephony.sip.ua.auth import AuthOutcome, DigestVerification

TRUNK = Address("192.0.2.1", 5060)
OFFICE = Address("198.51.100.7", 40000)
STRANGER = Address("203.0.113.66", 5060)
INVITE = b"INVITE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: new@x\r\n\r\n"
WRONG = DigestVerification(AuthOutcome.REFUSED, returned=True)
RIGHT = DigestVerification(AuthOutcome.ACCEPTED, "201", returned=True)
BYE = b"BYE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\ni:\t live \r\n\r\n"


class Kernel:
    """Records the networks of which it must drop most datagrams."""

    def __init__(self):
        self.thinned = ()
        self.friends = None

    def __call__(self, thinned, friends):
        self.thinned, self.friends = thinned, friends


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def make_guard(kernel):
    def make(**more):
        rates = {"source_rate": 10, "strangers_rate": 50, "trunk_rate": 100} | more
        return FloodGuard(
            SipSection.model_validate({"listen": ["udp:127.0.0.1:0"], **rates}),
            is_trunk=lambda host, port, transport: host == TRUNK.host,
            in_call=lambda call_id: call_id == "live",
            trunks=[ip_network("192.0.2.0/28")],
            set_filter=kernel,
        )

    return make


@pytest.fixture
def guard(make_guard):
    return make_guard()


@pytest.mark.parametrize(
    ("uri", "verdict"),
    [
        (b"sip:999@h", FilterVerdict.IN_CALL),
        (b"sip:112;phone-context=+44@h;user=phone", FilterVerdict.IN_CALL),
        (b"tel:999;phone-context=+44", FilterVerdict.IN_CALL),
        (b"urn:service:sos.fire", FilterVerdict.IN_CALL),
        (b"sip:9990@h", FilterVerdict.ACCEPTED),
        (b"sip:x@999", FilterVerdict.ACCEPTED),
    ],
)
def test_only_an_emergency_number_called_from_a_trunk_or_known_address_has_priority(
    guard, uri, verdict
):
    data = INVITE.replace(b"sip:x@h", uri)
    guard.set_known_hosts({OFFICE.host})
    assert guard.judge_message(data, OFFICE, 100.0) is verdict
    assert guard.judge_message(data, TRUNK, 100.0) is verdict
    assert guard.judge_message(data, STRANGER, 100.0) is FilterVerdict.ACCEPTED


def accepts(guard, data, source, now):
    return guard.judge_message(data, source, now) in {FilterVerdict.ACCEPTED, FilterVerdict.IN_CALL}


def heard(guard, source, count, now=100.0, data=INVITE):
    return sum(accepts(guard, data, source, now) for _ in range(count))


def by_flow(guard, source, now):
    """Use up what a flow may send whatever its source does."""
    while accepts(guard, INVITE, source, now):
        pass


def test_a_stranger_is_limited_to_its_rate_with_a_burst_of_three_seconds(guard):
    assert heard(guard, STRANGER, 100) == 31 + 5
    assert heard(guard, STRANGER, 100, now=101.0) == 10
    assert guard.shed == 154


def test_each_new_flow_of_a_source_above_its_rate_may_send_five_messages(guard):
    guard.set_known_hosts([OFFICE.host])
    sources = STRANGER, OFFICE, STRANGER._replace(transport="TCP")
    for now, source in zip((100.0, 200.0, 300.0), sources, strict=True):
        by_flow(guard, source, now)
        assert heard(guard, source._replace(port=7), 100, now=now) == 5


def test_the_new_flows_of_a_source_are_limited_together(guard):
    by_flow(guard, STRANGER, 100.0)
    flows = [STRANGER._replace(port=port) for port in range(1, 1000)]
    assert sum(heard(guard, flow, 1) for flow in flows) in range(25, 32)


def test_the_new_flows_of_all_sources_are_limited_together(guard):
    sources = [Address(f"203.0.113.{number}", 5060) for number in range(250)]
    for source in sources:
        by_flow(guard, source, 100.0)
    flows = [source._replace(port=port) for source in sources for port in (7, 8, 9)]
    assert sum(heard(guard, flow, 1, now=100.0) for flow in flows) == 0
    assert sum(heard(guard, flow, 1, now=100.5) for flow in flows) > 25


def test_a_flow_with_a_right_password_has_a_rate_of_its_own(guard):
    guard.count_outcome(OFFICE, RIGHT, 100.0)
    for port in range(1, 100):
        by_flow(guard, OFFICE._replace(port=port), 100.0)
    assert heard(guard, OFFICE, 100) == 31
    assert heard(guard, OFFICE._replace(port=200), 10) == 0
    assert heard(guard, OFFICE, 100, now=101.0) >= 10


def test_the_messages_of_one_stranger_do_not_use_up_the_rate_of_another(guard):
    heard(guard, STRANGER, 100)
    assert heard(guard, Address("203.0.113.67", 5060), 10) == 10


def test_all_strangers_together_are_limited_to_a_common_rate(guard):
    crowd = [Address(f"203.0.113.{number}", 5060) for number in range(1, 250)]
    accepted = sum(heard(guard, source, 1) for source in crowd)
    assert accepted == 51 + 151  # the second number is that of new flows


def test_a_known_address_has_ten_times_the_rate_of_a_stranger(guard):
    guard.set_known_hosts([OFFICE.host])
    assert heard(guard, OFFICE, 1000) in {305, 306}


def test_messages_within_a_call_pass_although_their_source_is_above_its_rate(guard):
    for source in (TRUNK, OFFICE, STRANGER):
        heard(guard, source, 400)
        assert heard(guard, source, 5, data=BYE) == 5


def test_a_long_message_counts_as_several_messages(guard):
    assert heard(guard, STRANGER, 100, data=INVITE + bytes(10_240)) == 6 + 1


def test_an_oversized_message_of_a_stranger_is_dropped(guard):
    long = BYE + bytes(20_480)
    assert heard(guard, STRANGER, 1, data=long) == 0
    assert heard(guard, TRUNK, 1, data=long) == 1


def test_a_call_id_after_5000_bytes_of_header_is_ignored(guard):
    heard(guard, STRANGER, 100)
    padded = BYE.replace(b"\r\ni:", b"\r\nX: " + b"a" * 5000 + b"\r\ni:")
    assert heard(guard, STRANGER, 1, data=padded) == 0


def test_a_known_address_is_refused_above_its_rate_on_a_connection(guard):
    guard.set_known_hosts([OFFICE.host])
    flow = OFFICE._replace(transport="TCP", flow=3)
    verdicts = [guard.judge_message(INVITE, flow, 100.0) for _ in range(1000)]
    assert verdicts.count(FilterVerdict.ACCEPTED) in {305, 306}
    assert set(verdicts) == {FilterVerdict.ACCEPTED, FilterVerdict.TOO_MANY}
    assert guard.judge_message(BYE, flow, 100.0) is FilterVerdict.IN_CALL


def test_a_trunk_is_refused_above_its_rate_on_a_connection_but_its_calls_go_on(guard):
    flow = TRUNK._replace(transport="TCP", flow=3)
    verdicts = [guard.judge_message(INVITE, flow, 100.0) for _ in range(1000)]
    assert verdicts.count(FilterVerdict.ACCEPTED) in {305, 306}
    assert verdicts[-1] is FilterVerdict.TOO_MANY
    assert guard.judge_message(BYE, flow, 100.0) is FilterVerdict.IN_CALL


def test_a_stranger_above_its_rate_on_a_connection_is_dropped(guard):
    flow = STRANGER._replace(transport="TCP", flow=3)
    verdicts = [guard.judge_message(INVITE, flow, 100.0) for _ in range(40)]
    assert verdicts == 36 * [FilterVerdict.ACCEPTED] + 4 * [FilterVerdict.DROPPED]


def test_datagrams_do_not_use_up_the_rate_of_the_same_address_on_connections(guard):
    guard.set_known_hosts([OFFICE.host])
    for source in (OFFICE, STRANGER, TRUNK):
        heard(guard, source, 1000)
        flow = source._replace(transport="TCP", flow=3)
        assert heard(guard, flow, 30) == 30
        assert guard.accepts_connection(flow, 100.0)


def test_messages_of_one_call_are_accepted_up_to_the_rate_of_a_call(guard):
    guard.set_known_hosts([OFFICE.host, STRANGER.host])
    by_flow(guard, OFFICE, 100.0)
    verdicts = [guard.judge_message(BYE, OFFICE, 100.0) for _ in range(1000)]
    assert verdicts.count(FilterVerdict.IN_CALL) in {150, 151}
    assert verdicts[-1] is FilterVerdict.TOO_MANY
    later = [guard.judge_message(BYE, OFFICE, 100.1) for _ in range(100)]
    assert later.count(FilterVerdict.IN_CALL) in {5, 6}
    assert heard(guard, TRUNK, 1, data=BYE) == 1


@pytest.mark.parametrize(("transport", "accepted"), [("TCP", 301), ("TLS", 61)])
def test_a_known_address_may_open_fewer_connections_with_tls(guard, transport, accepted):
    guard.set_known_hosts([OFFICE.host])
    flow = OFFICE._replace(transport=transport)
    opened = sum(guard.accepts_connection(flow, 100.0) for _ in range(1000))
    assert opened in {accepted - 1, accepted}


def test_all_known_addresses_together_may_open_500_connections_a_second(guard):
    hosts = [f"198.51.100.{number}" for number in range(250)]
    guard.set_known_hosts(hosts)
    sources = [Address(host, 40000, "TCP") for host in hosts for _ in range(20)]
    assert sum(guard.accepts_connection(each, 100.0) for each in sources) in {1500, 1501}
    assert guard.accepts_connection(TRUNK._replace(transport="TLS"), 100.0)


def test_ten_wrong_passwords_ban_a_stranger(guard):
    for _ in range(9):
        guard.count_outcome(STRANGER, WRONG, 100.0)
    assert guard.banned(100.0) == 0
    guard.count_outcome(STRANGER, WRONG, 100.0)
    assert guard.banned(100.0) == 1
    assert heard(guard, STRANGER, 100) == 5
    assert heard(guard, STRANGER, 10, data=BYE) == 0
    assert sum(guard.accepts_connection(STRANGER, 100.0) for _ in range(100)) < 20


@pytest.mark.parametrize("outcome", [AuthOutcome.REFUSED, AuthOutcome.MISSING])
def test_datagrams_that_return_no_nonce_of_the_switch_ban_no_source(guard, outcome):
    for _ in range(1000):
        guard.count_outcome(STRANGER, DigestVerification(outcome), 100.0)
        guard.on_malformed(STRANGER, 100.0)
        guard.judge_message(b"\xff" * 100, STRANGER, 100.0)
    assert guard.banned(100.0) == 0


@pytest.mark.parametrize(
    ("outcome", "count"), [(AuthOutcome.REFUSED, 10), (AuthOutcome.MISSING, 100)]
)
def test_failures_on_a_connection_ban_its_source(guard, outcome, count):
    flow = STRANGER._replace(transport="TCP", flow=3)
    for _ in range(count):
        assert guard.banned(100.0) == 0
        guard.count_outcome(flow, DigestVerification(outcome), 100.0)
    assert guard.banned(100.0) == 1


def test_a_flow_with_a_right_password_is_accepted_although_its_source_is_banned(guard):
    guard.count_outcome(STRANGER, RIGHT, 100.0)
    now = 100.0 + subject.PROVED_S + 1.0  # the source is a stranger again
    for _ in range(10):
        guard.count_outcome(STRANGER._replace(port=7), WRONG, now)
    assert guard.banned(now) == 1
    by_flow(guard, STRANGER._replace(port=7), now)
    assert heard(guard, STRANGER, 20, now=now) == 20


def test_a_second_ban_lasts_twice_as_long_as_the_first(guard):
    def fail(now):
        for _ in range(10):
            guard.count_outcome(STRANGER, WRONG, now)

    fail(100.0)
    assert (guard.banned(159.0), guard.banned(161.0)) == (1, 0)
    guard.sweep(161.0)
    fail(162.0)
    assert (guard.banned(281.0), guard.banned(283.0)) == (1, 0)


def test_the_ban_of_a_stranger_ends_when_its_address_becomes_known(guard):
    for _ in range(10):
        guard.count_outcome(STRANGER, WRONG, 100.0)
    guard.set_known_hosts([STRANGER.host])
    assert guard.banned(101.0) == 0
    assert heard(guard, STRANGER, 20, now=101.0) == 20
    assert guard.accepts_connection(STRANGER, 101.0)


def test_a_ban_long_after_the_previous_ban_is_short_again(guard):
    for now in (100.0, 1000.0):
        for _ in range(10):
            guard.count_outcome(STRANGER, WRONG, now)
        guard.sweep(now + 61.0)
        guard.sweep(now + 400.0)
    for _ in range(10):
        guard.count_outcome(STRANGER, WRONG, 2000.0)
    assert (guard.banned(2059.0), guard.banned(2061.0)) == (1, 0)


def test_a_phone_with_one_wrong_password_per_minute_is_never_banned(guard):
    for minute in range(1000):
        guard.count_outcome(STRANGER, WRONG, 60.0 * minute)
    assert guard.banned(60.0 * 1000) == 0


def test_a_right_password_clears_the_failures_and_makes_the_source_known(guard):
    for _ in range(9):
        guard.count_outcome(STRANGER, WRONG, 100.0)
    guard.count_outcome(STRANGER, RIGHT, 100.0)
    for _ in range(1000):
        guard.count_outcome(STRANGER, WRONG, 101.0)
    assert guard.banned(101.0) == 0
    assert guard.kind_of(STRANGER, 101.0) is SourceKind.KNOWN
    assert guard.kind_of(STRANGER, 3701.0) is SourceKind.STRANGER


@pytest.mark.parametrize("source", [TRUNK, OFFICE])
def test_a_trunk_and_an_address_with_a_phone_are_never_banned(guard, source):
    guard.set_known_hosts([OFFICE.host])
    for _ in range(1000):
        guard.on_malformed(source, 100.0)
    heard(guard, source, 5000)
    assert guard.banned(100.0) == 0
    assert heard(guard, source, 1, now=105.0) == 1


def test_a_flood_on_connections_bans_its_source(guard):
    heard(guard, STRANGER._replace(transport="TCP", flow=3), 600)
    assert guard.banned(100.0) == 1


def test_a_flood_of_datagrams_thins_its_source_while_it_lasts(guard, kernel):
    heard(guard, STRANGER, 1000)
    assert kernel.thinned == ()
    heard(guard, STRANGER, 100)
    assert kernel.thinned == (ip_network(STRANGER.host),)
    assert kernel.friends is None
    assert guard.banned(100.0) == 0
    guard.sweep(109.0)
    assert kernel.thinned == (ip_network(STRANGER.host),)
    guard.sweep(111.0)
    assert kernel.thinned == ()


def test_a_long_flood_that_stays_below_the_limit_of_one_second_is_not_thinned(guard, kernel):
    for second in range(10):
        heard(guard, STRANGER, 800, now=100.0 + 1.1 * second)
    assert kernel.thinned == ()


def test_a_known_source_is_thinned_above_10000_dropped_datagrams_a_second(guard, kernel):
    guard.set_known_hosts([OFFICE.host])
    heard(guard, OFFICE, 10_000)
    assert kernel.thinned == ()
    heard(guard, OFFICE, 1000)
    assert kernel.thinned == (ip_network(OFFICE.host),)


def test_many_sources_in_a_second_make_the_kernel_prefer_known_sources(guard, kernel):
    guard.set_known_hosts([OFFICE.host])
    guard.count_outcome(Address("198.51.100.8", 5060), RIGHT, 100.0)
    crowd = [Address(f"203.0.{number >> 8}.{number & 255}", 5060) for number in range(1400)]
    for source in crowd:
        accepts(guard, INVITE, source, 100.0)
    friends = ["192.0.2.0/28", OFFICE.host, "198.51.100.8"]
    assert kernel.friends == tuple(map(ip_network, friends))
    guard.sweep(109.0)
    assert kernel.friends is not None
    guard.sweep(111.0)
    assert kernel.friends is None


def test_many_sources_spread_over_several_seconds_do_not_make_the_kernel_prefer_known_ones(
    guard, kernel
):
    for number in range(3000):
        accepts(guard, INVITE, Address(f"203.0.{number >> 8}.{number & 255}", 5060), 100.0)
        if number % 500 == 0:
            guard.sweep(100.0)
    assert kernel.friends is None


def test_stale_nonces_do_not_count_as_failures(guard):
    for _ in range(1000):
        guard.count_outcome(STRANGER, DigestVerification(AuthOutcome.STALE, returned=True), 100.0)
    assert guard.banned(100.0) == 0


def test_no_source_is_banned_when_ban_after_is_0(make_guard):
    guard = make_guard(ban_after=0)
    flow = STRANGER._replace(transport="TCP", flow=3)
    for _ in range(1000):
        guard.on_malformed(flow, 100.0)
    heard(guard, flow, 10_000)
    assert guard.banned(100.0) == 0


def test_an_ipv6_64_prefix_counts_as_one_source(guard):
    for number in range(10):
        guard.on_malformed(Address(f"2001:db8::{number}:1", 5060, "TCP"), 100.0)
    assert heard(guard, Address("2001:db8::ffff", 5060), 20) == 5
    assert heard(guard, Address("2001:db8:0:1::1", 5060), 20) == 20


def test_connections_of_a_stranger_are_limited_to_its_rate(guard):
    assert sum(guard.accepts_connection(STRANGER, 100.0) for _ in range(100)) == 31
    assert sum(guard.accepts_connection(TRUNK, 100.0) for _ in range(100)) == 100
    assert (guard.is_privileged(TRUNK, 100.0), guard.is_privileged(STRANGER, 100.0)) == (
        True,
        False,
    )


def test_the_guard_remembers_a_bounded_number_of_sources(make_guard, monkeypatch):
    monkeypatch.setattr(subject, "MAX_SOURCES", 50)
    guard = make_guard(strangers_rate=10_000)
    for number in range(1000):
        source = Address(f"2001:db8:0:{number:x}::1", 5060)
        accepts(guard, INVITE, source, 100.0)
        guard.count_outcome(source, RIGHT if number % 2 else WRONG, 100.0)
        for _ in range(10):
            guard.on_malformed(source._replace(transport="TCP"), 100.0)
        by_flow(guard, source, 100.0)
    assert len(guard._sources) == len(guard._bans) == len(guard._proved) == 50
    assert len(guard._flows) == len(guard._proved_flows) == 50


@given(st.binary(max_size=300), st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_the_rate_holds_for_any_data_from_any_address(data, host):
    guard = FloodGuard(
        SipSection.model_validate({"listen": ["udp:127.0.0.1:0"], "source_rate": 1}),
        is_trunk=lambda *_: False,
        in_call=lambda _: False,
    )
    source = Address(str(host), 5060)
    assert sum(accepts(guard, data, source, 1.0) for _ in range(30)) == 4 + 5
