"""A network without sockets, its clock and its nodes: each a real SIP core with an address."""

import random
from collections.abc import Callable

from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address

SWITCH = Address("192.0.2.1", 5060)
SWITCH6 = Address("2001:db8::1", 5060)


class Clock:
    now = 1000.0


class Network:
    """Delivers datagrams at once, except those that the `lost` function drops."""

    def __init__(self, clock):
        self.clock = clock
        self.nodes = {}
        self.lost: Callable[[bytes], bool] = lambda _data: False
        self.wire = []
        self.down = set()

    def flush(self):
        busy = True
        while busy:
            busy = False
            for node in list(self.nodes.values()):
                for datagram in node.endpoint.outgoing():
                    busy = True
                    self.wire.append((datagram.local, datagram.destination, datagram.data))
                    target = self.nodes.get(datagram.destination)
                    if target is None or self.lost(datagram.data):
                        continue
                    if {datagram.destination, datagram.local} & self.down:
                        continue
                    target.endpoint.receive(
                        datagram.data, datagram.local, datagram.destination, self.clock.now
                    )
                    target.work()

    def run(self, seconds):
        """Advance the clock by this many seconds, timer by timer."""
        end = self.clock.now + seconds
        self.flush()
        while True:
            due = [t for n in self.nodes.values() if (t := n.next_timer()) is not None]
            first = min(due, default=end)
            if first > end:
                break
            if not due:
                break
            self.clock.now = max(self.clock.now, first)
            for node in list(self.nodes.values()):
                node.tick()
            self.flush()
        self.clock.now = max(self.clock.now, end)


class Node:
    def __init__(self, network, address, seed, **options):
        self.network = network
        self.address = address
        self.endpoint = Endpoint(rng=random.Random(seed), **options)
        self.endpoint.listen(address)
        network.nodes[address] = self

    @property
    def now(self):
        return self.network.clock.now

    def tick(self):
        due = self.endpoint.next_timer()
        if due is not None and due <= self.now:
            self.endpoint.handle_timer(self.now)
        self.work()

    def next_timer(self):
        return self.endpoint.next_timer()

    def work(self):
        raise NotImplementedError
