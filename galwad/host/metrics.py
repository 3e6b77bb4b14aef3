"""The metrics of the desk for Prometheus: the registry, and the metrics of the host itself.

Each subject adds its own metrics to the registry. Labels never contain a call id, a phone number or
the name of a person.
"""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from galwad.host.connections.places import Places
from galwad.messages import Figures

_SWITCH = {
    "calls": "Calls in the switch",
    "phones": "Registered phones",
    "loop_lag_ms": "Worst delay of the event loop in the last seconds",
    "media_refused": "Bursts of media from unknown addresses, since its start",
    "sip_dropped": "Datagrams that were not SIP for Galwad, since its start",
    "faults": "Unexpected exceptions, since its start",
    "calls_refused": "Calls refused with 503 because of overload, since its start",
    "sip_shed": "Messages and connections that were not read because of floods, since its start",
    "sources_banned": "Addresses that are barred now",
}


class Metrics:
    """The metrics of one desk, with their own registry: one process can contain several desks."""

    def __init__(self, places: Places) -> None:
        self.registry = CollectorRegistry()
        self.switch_connected = Gauge(
            "galwad_desk_switch_connected",
            "1 while the switch is connected",
            registry=self.registry,
        )
        self.streams = Gauge("galwad_desk_streams", "Open event streams", registry=self.registry)
        self.alarms = Counter(
            "galwad_desk_alarms", "Alarms raised", ["kind"], registry=self.registry
        )
        self._watch(places)
        self._switch = {
            name: Gauge(f"galwad_switch_{name}", text, registry=self.registry)
            for name, text in _SWITCH.items()
        }
        self._peers = Gauge(
            "galwad_switch_peer_up",
            "1 while a trunk or target answers, or accepts our registration",
            ["peer", "asked_by"],
            registry=self.registry,
        )

    def _watch(self, places: Places) -> None:
        connections = Gauge(
            "galwad_desk_connections",
            "HTTP connections by the kind of their place",
            ["kind"],
            registry=self.registry,
        )
        for kind in places.counts():
            connections.labels(kind).set_function(partial(_count, places, kind))
        Gauge(
            "galwad_desk_connections_refused",
            "HTTP connections that came too fast, since the start",
            registry=self.registry,
        ).set_function(lambda: places.refused)
        Gauge(
            "galwad_desk_connections_displaced",
            "HTTP connections closed to make room for others, since the start",
            registry=self.registry,
        ).set_function(lambda: places.displaced)

    def show_figures(self, figures: Figures) -> None:
        """Set the gauges that describe the switch to the values that the switch has reported."""
        self._peers.clear()
        for peer in figures.peers:
            self._peers.labels(peer.name, peer.asked_by).set(peer.up)
        for name, gauge in self._switch.items():
            gauge.set(getattr(figures, name))

    def text(self) -> bytes:
        """Return all metrics of the desk in Prometheus's text format."""
        return generate_latest(self.registry)


def _count(places: Places, kind: str) -> float:
    return places.counts()[kind]
