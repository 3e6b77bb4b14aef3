"""Which connection is closed when more arrive than there are places."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galwad.host.connections.places import KNOWN_S, NEW_AREA_S, Place, PlaceLimits, Places

HOME, AWAY, PROXY = "192.0.2.7", "203.0.113.66", "127.0.0.1"
LIMITS = PlaceLimits(
    signed_in=8, known=4, strangers=6, per_network=3, per_session=4,
    network_rate=1000, strangers_rate=1000,
)  # fmt: skip


class House:
    """Places, and the connections that they closed."""

    def __init__(self, limits=LIMITS, proxies=()):
        self.places = Places(limits, proxies)
        self.closed = []
        self.now = 1000.0

    def arrive(self, network, name=""):
        self.now += 0.001
        return self.places.arrive(network, self.now, lambda: self.closed.append(name or network))

    def signed_in(self, network, session):
        place = self.arrive(network)
        self.places.sign_in(place, session, network, self.now)
        return place


def test_a_network_of_strangers_loses_its_own_oldest_connection_at_its_limit():
    house = House()
    for number in range(5):
        house.arrive(AWAY, f"stranger {number}")
    assert house.closed == ["stranger 0", "stranger 1"]
    assert house.places.counts() == {"signed-in": 0, "known": 0, "stranger": 3}


def test_the_network_with_the_most_connections_makes_room_for_a_stranger():
    house = House()
    house.arrive("198.51.100.1", "quiet")
    for name in ("a", "b", "c"):
        house.arrive(AWAY, name)
    for network in ("198.51.100.2", "198.51.100.3", "198.51.100.4"):
        house.arrive(network)
    assert house.closed == ["a"]


def test_strangers_never_close_a_connection_of_a_signed_in_person():
    house = House()
    kept = house.signed_in(HOME, "sian")
    for number in range(500):
        house.arrive(f"198.51.{number // 250}.{number % 250}")
        house.arrive(HOME)
    assert not kept.left
    assert house.places.counts() == {"signed-in": 1, "known": 4, "stranger": 6}


def test_strangers_elsewhere_close_no_connection_from_a_known_network():
    house = House()
    house.places.leave(house.signed_in(HOME, "sian"))
    fresh = house.arrive(HOME)
    for number in range(500):
        house.arrive(f"198.51.{number // 250}.{number % 250}")
    assert not fresh.left
    house.places.sign_in(fresh, "sian", HOME, house.now)
    assert house.places.counts()["signed-in"] == 1


def test_a_network_is_known_for_a_day_after_a_session_was_used_from_it():
    house = House()
    house.places.leave(house.signed_in(HOME, "sian"))
    house.now += KNOWN_S - 1
    house.places.leave(house.arrive(HOME))
    assert house.places.counts()["stranger"] == 0
    house.now += 2
    house.arrive(HOME)
    assert house.places.counts()["stranger"] == 1


def test_one_session_has_only_its_own_number_of_protected_places():
    house = House()
    for _ in range(20):
        house.signed_in(HOME, "sian")
    assert house.places.counts() == {"signed-in": 4, "known": 4, "stranger": 0}
    house.signed_in(HOME, "huw")
    assert house.places.counts()["signed-in"] == 5


def test_a_session_above_the_limit_does_not_close_connections_of_earlier_sessions():
    house = House()
    first = [house.signed_in(HOME, f"user {number}") for number in range(8)]
    house.signed_in(HOME, "late")
    assert not any(place.left for place in first)
    assert house.places.counts() == {"signed-in": 8, "known": 1, "stranger": 0}


def test_a_request_without_a_session_ends_the_protection_of_its_connection():
    house = House()
    place = house.signed_in(HOME, "sian")
    house.places.sign_out(place, HOME, house.now)
    assert place.session is None
    assert house.places.counts() == {"signed-in": 0, "known": 1, "stranger": 0}


def test_a_stranger_behind_a_proxy_counts_against_the_limit_of_the_strangers_own_network():
    house = House(proxies=(PROXY,))
    behind = [house.arrive(PROXY, str(number)) for number in range(4)]
    for place in behind:
        house.places.sign_out(place, AWAY, house.now)
    assert house.closed == ["0"]
    assert house.places.counts() == {"signed-in": 0, "known": 0, "stranger": 3}
    house.places.sign_in(behind[3], "sian", HOME, house.now)
    assert house.places.counts() == {"signed-in": 1, "known": 0, "stranger": 2}


def test_connections_of_strangers_that_arrive_too_fast_are_refused():
    places = Places(PlaceLimits(8, 400, 600, 300, 4, network_rate=8, strangers_rate=32))

    def admitted(networks, now=1000.0):
        return sum(places.arrive(network, now, lambda: None) is not None for network in networks)

    assert admitted([AWAY] * 100) == 41
    assert admitted(f"198.51.100.{number}" for number in range(250)) == 161 - 1
    assert places.refused == 59 + 90
    places.know(HOME, 1000.0)
    assert admitted([HOME] * 1000) == 1000
    assert admitted([AWAY], 1010.0) == 1


def test_a_proxys_connections_are_never_refused():
    house = House(PlaceLimits(8, 4, 6, network_rate=1, strangers_rate=1), proxies=(PROXY,))
    assert all(house.arrive(PROXY) is not None for _ in range(1000))


@pytest.mark.parametrize("connections", [64, 512, 4096])
def test_half_of_the_connections_are_for_signed_in_people(connections):
    limits = PlaceLimits.within(connections)
    assert limits.signed_in == connections // 2
    assert limits.signed_in + limits.known + limits.strangers == connections


steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "in", "out", "leave"]), st.integers(0, 30)), max_size=200
)


@settings(deadline=None)
@given(steps)
def test_no_kind_of_connection_ever_exceeds_its_limit(actions):
    house = House(proxies=(PROXY,))
    made: list[Place] = []
    networks = [HOME, AWAY, PROXY, "198.51.100.1", "198.51.100.2"]
    for action, number in actions:
        network = networks[number % len(networks)]
        if action == "arrive" or not made:
            place = house.arrive(network)
            made.append(place)
            continue
        place = made[number % len(made)]
        if action == "in":
            house.places.sign_in(place, f"session {number % 3}", network, house.now)
        elif action == "out":
            house.places.sign_out(place, network, house.now)
        else:
            house.places.leave(place)
        counts = house.places.counts()
        assert counts["signed-in"] <= LIMITS.signed_in
        assert counts["known"] <= LIMITS.known
        assert counts["stranger"] <= LIMITS.strangers
        assert sum(counts.values()) == sum(not place.left for place in made)


def test_known_networks_are_listed_by_their_last_use_without_texts_that_are_no_network():
    places = Places(LIMITS, [PROXY])
    for number, network in enumerate([HOME, "unknown", "203.0.113.5:1234", "2001:db8::/64"]):
        places.know(network, 1000.0 + number)
    wanted = (ip_network(PROXY), ip_network("2001:db8::/64"), ip_network(HOME))
    assert places.known_networks(1010.0, 10) == wanted
    assert places.known_networks(1010.0, 2) == wanted[:2]
    assert places.known_networks(1003.5 + KNOWN_S, 10) == wanted[:1]


@pytest.mark.parametrize("crowd", ["2001:db8:{:x}:1::/64", "2001:db8:bad:{:x}::/64"])
def test_a_quiet_area_can_connect_during_a_flood(crowd):
    house = House(PlaceLimits(8, 400, 600, 300, 4))
    accepted = 0
    for number in range(40_000):
        house.arrive(crowd.format(number % 1000))
        if number % 10_000 == 9_999:
            accepted += house.arrive(f"192.0.2.{number // 10_000}") is not None
    assert accepted == 4
    assert house.places.refused > 30_000


def test_a_new_area_has_its_own_rate_only_for_its_first_connection():
    house = House(PlaceLimits(8, 400, 600, 300, 4, strangers_rate=1))
    for number in range(500):
        house.arrive(f"2001:db8:bad:{number:x}::/64")
    assert house.arrive(HOME) is not None
    assert house.arrive(HOME) is None
    house.now += NEW_AREA_S
    for number in range(500):
        house.arrive(f"2001:db8:bad:{number:x}::/64")
    assert house.arrive(HOME) is not None
