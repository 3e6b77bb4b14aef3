"""Three phones, and a switch between them."""

import json
from collections import Counter

from helpers.b2bua.network import SWITCH6, Clock, Network
from helpers.b2bua.phone import Phone
from helpers.b2bua.switch import Switch
from helpers.core_counts import counts
from telephony.b2bua import Target
from telephony.b2bua.events import CallEnded
from telephony.sip.message.uri import Uri


class World:
    """The phones, the network and the switch, ready for a call from `a`."""

    def __init__(self, seed=1, **settings):
        self.clock = Clock()
        self.net = Network(self.clock)
        self.switch = Switch(self.net, seed, **settings)
        self.a = Phone(self.net, "192.0.2.10", seed + 1)
        self.b = Phone(self.net, "192.0.2.20", seed + 2)
        self.c = Phone(self.net, "192.0.2.30", seed + 3)
        self.switch.plan.targets = [self.target(self.b)]
        self.switch.plan.transfer_targets = [self.target(self.c)]

    def target(self, phone, **facts):
        host = phone.address.host
        uri = Uri(user=host.replace(":", ".").rpartition(".")[2], host=host)
        return Target(uri, phone.address, name=uri.user or "", **facts)

    @property
    def call(self):
        return self.switch.calls[-1]

    def both_families(self):
        """Give the switch IPv6 too, and add a fourth phone, `d`, which has only IPv6."""
        self.switch.endpoint.listen(SWITCH6)
        self.net.nodes[SWITCH6] = self.switch
        self.switch.plane.both = True
        self.d = Phone(self.net, "2001:db8::40", 9)

    def talk(self, **rest):
        self.a.call(**rest)
        self.net.run(1)
        assert self.call.joined is not None
        return self.call

    def crash(self):
        """Replace the switch by a new one that knows only the last checkpoints, as JSON."""
        before = self.switch
        kept = [bytes(call.checkpoint()) for call in before.calls if not call.ended]
        self.switch = Switch(self.net, 77)
        self.switch.settings, self.switch.plan = before.settings, before.plan
        for text in kept:
            self.switch.take_up(json.loads(text))
        self.net.run(0.1)
        return before

    def assert_clean(self):
        """Assert that no port, dialog or transaction is left when all timers have run out."""
        self.net.run(300)
        assert self.switch.plane.open_legs == {}
        assert all(call.ended for call in self.switch.calls)
        assert all(event.cause != "fault" for event in self.switch.of(CallEnded))
        ends = Counter(type(event) for event in self.switch.events)[CallEnded]
        assert ends == len(self.switch.calls)
        for node in self.net.nodes.values():
            found = counts(node.endpoint)
            assert found.dialogs == 0, (node.address, found)
            assert found.client_transactions == 0, (node.address, found)
            assert found.awaiting_ack == 0, (node.address, found)
