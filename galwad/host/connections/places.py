"""The places for connections: they decide which connection is closed when too many arrive.

A connection gets a place for signed-in people when a request has a valid session, if such a place
is free. Otherwise, it gets a place for known networks if a session was used from its network within
`KNOWN_S` seconds, and else a place for strangers.

Connections in the places for signed-in people are never closed to make room. If all places of
another kind are taken, the network with the most of these places loses its oldest connection. A
network of strangers that has `per_network` places loses its oldest connection when it opens a
further one. New connections of strangers are refused while they arrive too fast.

Behind a reverse proxy, connections begin in the places for known networks, and their rate has no
limit. They move when a request shows its client's address. There is no I/O and no clock here.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from net.addresses import Network, areas_of

KNOWN_S: Final = 86_400.0
"""The seconds for which a network is known after a session was used from it."""
NEW_AREA_S: Final = 60.0
"""The seconds without a new connection after which the area of a network counts as new."""
_MAX_NETWORKS: Final = 4096


@dataclass(frozen=True, slots=True)
class PlaceLimits:
    """The numbers of places, and the rates of strangers' new connections in a second."""

    signed_in: int
    known: int
    strangers: int
    per_network: int = 32
    """The places that one network of strangers can have."""
    per_session: int = 32
    """The places for signed-in people that the connections of one session can have."""
    network_rate: float = 20.0
    """The rate of one network of strangers."""
    strangers_rate: float = 100.0
    """The rate of all strangers in new areas together. All other strangers have the same rate."""
    in_advance_s: float = 5.0
    """As many connections may arrive at once as the rate allows in this many seconds."""

    @classmethod
    def within(cls, connections: int) -> PlaceLimits:
        """Return the limits for this number of connections: half are for signed-in people."""
        quarter = connections // 4
        return cls(connections - 2 * quarter, quarter, quarter)


class Place:
    """The place of one connection. `close` closes the connection at once."""

    __slots__ = ("_room", "close", "group", "session")

    def __init__(self, network: str, close: Callable[[], None]) -> None:
        self.close = close
        self.group = network
        """The connection's network, or its session in a place for signed-in people."""
        self.session: str | None = None
        """The digest of the session's token in a place for signed-in people, else None."""
        self._room: _Room | None = None

    def move(self, room: _Room | None, group: str) -> None:
        """Leave the present room, and enter `room` in `group`. With None, enter no room."""
        if self._room is not None:
            self._room.remove(self)
        self._room, self.group = room, group
        if room is not None:
            room.add(self)

    @property
    def left(self) -> bool:
        """True if the connection has no place any more."""
        return self._room is None


class _Room:
    """The places of one kind, by network or session; finds the largest group in constant time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._places: dict[str, OrderedDict[Place, None]] = {}
        self._groups: defaultdict[int, OrderedDict[str, None]] = defaultdict(OrderedDict)
        """The groups by their number of places."""
        self._largest = 0

    def of(self, group: str) -> int:
        return len(self._places.get(group, ()))

    def oldest(self, group: str) -> Place:
        return next(iter(self._places[group]))

    def oldest_of_largest(self) -> Place:
        return self.oldest(next(iter(self._groups[self._largest])))

    def add(self, place: Place) -> None:
        places = self._places.setdefault(place.group, OrderedDict())
        self._regroup(place.group, len(places), len(places) + 1)
        places[place] = None
        self.taken += 1

    def remove(self, place: Place) -> None:
        places = self._places[place.group]
        self._regroup(place.group, len(places), len(places) - 1)
        del places[place]
        if not places:
            del self._places[place.group]
        self.taken -= 1

    def _regroup(self, group: str, before: int, after: int) -> None:
        if before:
            del self._groups[before][group]
            if not self._groups[before]:
                del self._groups[before]
        if after:
            self._groups[after][group] = None
        if after > self._largest or (before == self._largest and before not in self._groups):
            self._largest = after


class Places:
    """Gives connections places, and closes others to make room. Times are monotonic seconds."""

    def __init__(self, limits: PlaceLimits, proxies: Collection[str] = ()) -> None:
        self.limits = limits
        self._proxies = frozenset(proxies)
        self._signed_in = _Room(limits.signed_in)
        self._known = _Room(limits.known)
        self._strangers = _Room(limits.strangers)
        self._networks: OrderedDict[str, float] = OrderedDict()
        """The known networks, with the time at which a session was last used from each."""
        self._due: OrderedDict[str, float] = OrderedDict()
        """The time at which the next connection fits into the rate.

        Each connection adds 1 / rate. If the time is more than `in_advance_s` in the future, new
        connections are refused. The key is the network, "new" for all strangers in new areas, or ""
        for all other strangers.
        """
        self._areas: OrderedDict[str, float] = OrderedDict()
        """The areas of strangers, with the time of the newest connection of each."""
        self.refused = 0
        """The number of connections that were refused because they arrived too fast."""
        self.displaced = 0
        """The number of connections that were closed to make room for another one."""

    def counts(self) -> dict[str, int]:
        """Return the number of connections by the kind of their place."""
        return {
            "signed-in": self._signed_in.taken,
            "known": self._known.taken,
            "stranger": self._strangers.taken,
        }

    def arrive(self, network: str, now: float, close: Callable[[], None]) -> Place | None:
        """Return a place; None if connections arrive too fast. `close` closes this connection."""
        if not (self._knows(network, now) or self._in_time(network, now)):
            self.refused += 1
            return None
        place = Place(network, close)
        self._seat(place, network, now)
        return place

    def sign_in(self, place: Place, session: str, network: str, now: float) -> None:
        """Give a connection a place for signed-in people.

        If none is free for the session, give the connection a place for known networks.
        """
        self.know(network, now)
        if place.left or place.session == session:
            return
        room = self._signed_in
        if room.taken < room.size and room.of(session) < self.limits.per_session:
            place.session = session
            place.move(room, session)
        else:
            self._seat(place, network, now)

    def sign_out(self, place: Place, network: str, now: float) -> None:
        """Give a connection a place for its network, because a request had no session."""
        if not place.left and (place.session is not None or place.group != network):
            self._seat(place, network, now)

    def leave(self, place: Place) -> None:
        """Free the place of a connection that has ended."""
        place.move(None, place.group)

    def know(self, network: str, now: float) -> None:
        """Note that a session was used from a network: it is then known for `KNOWN_S` seconds."""
        _renew(self._networks, network, now)

    def known_networks(self, now: float, most: int) -> tuple[Network, ...]:
        """Return at most `most` networks: the proxies, then known networks, the last used first."""
        found: list[Network] = []
        for each in dict.fromkeys([*self._proxies, *reversed(self._networks)]):
            if len(found) == most:
                break
            if self._knows(each, now):
                with contextlib.suppress(ValueError):
                    found.append(ip_network(each))
        return tuple(found)

    def _knows(self, network: str, now: float) -> bool:
        if network in self._proxies:
            return True
        used = self._networks.get(network)
        return used is not None and now - used <= KNOWN_S

    def _seat(self, place: Place, network: str, now: float) -> None:
        place.move(None, network)
        place.session = None
        known = self._knows(network, now)
        room = self._known if known else self._strangers
        if not known and room.of(network) >= self.limits.per_network:
            self._displace(room.oldest(network))
        elif room.taken >= room.size:
            self._displace(room.oldest_of_largest())
        place.move(room, network)

    def _displace(self, place: Place) -> None:
        self.displaced += 1
        self.leave(place)
        place.close()

    def _in_time(self, network: str, now: float) -> bool:
        """Return whether a stranger's connection keeps to the rates, and count it if it does."""
        limits, (_, area, _) = self.limits, areas_of(network.partition("/")[0])
        new = now - self._areas.get(area, float("-inf")) >= NEW_AREA_S
        if not self._take(network, limits.network_rate, now):
            return False
        if not self._take("new" if new else "", limits.strangers_rate, now):
            return False
        _renew(self._areas, area, now)
        return True

    def _take(self, key: str, rate: float, now: float) -> bool:
        due = max(self._due.get(key, now), now)
        if due - now > self.limits.in_advance_s:
            return False
        _renew(self._due, key, due + 1.0 / rate)
        return True


def _renew(times: OrderedDict[str, float], key: str, at: float) -> None:
    times[key] = at
    times.move_to_end(key)
    if len(times) > _MAX_NETWORKS:
        times.popitem(last=False)
