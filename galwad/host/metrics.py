"""The desk's metrics for Prometheus. Labels never contain a call id, a name or a phone number."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from callerid.breaker import BreakerState
from callerid.limited_source import LimitedSource, Observation
from callerid.note import Note
from galwad.calls.alarms.store import StoredAlarm
from galwad.calls.presence.presence import PresenceState
from galwad.host.connections.places import Places
from galwad.host.outbox import Backlog
from galwad.messages import Figures
from galwad.notes.delivery import DeliveryOutcome

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
    """The metrics of one desk, in their own registry: one process can contain several desks."""

    def __init__(self, places: Places) -> None:
        self.registry = CollectorRegistry()
        self.live_calls = Gauge(
            "galwad_desk_live_calls", "Calls on the advisors' pages", registry=self.registry
        )
        self.switch_connected = Gauge(
            "galwad_desk_switch_connected",
            "1 while the switch is connected",
            registry=self.registry,
        )
        self.streams = Gauge("galwad_desk_streams", "Open event streams", registry=self.registry)
        self._users = Gauge(
            "galwad_desk_users",
            "Users who can take calls, by their presence",
            ["state"],
            registry=self.registry,
        )
        self.lookups = Histogram(
            "galwad_desk_lookup_seconds",
            "From the call's appearance to the first result in its screen-pop",
            ["status"],
            buckets=(0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 1.5),
            registry=self.registry,
        )
        self._searches = Counter(
            "galwad_desk_directory_searches",
            "Searches in directories by their outcome",
            ["directory", "outcome", "from_memory"],
            registry=self.registry,
        )
        self._search_seconds = Histogram(
            "galwad_desk_directory_request_seconds",
            "Time of the requests to directories",
            ["directory"],
            buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
            registry=self.registry,
        )
        self.sign_ins = Counter(
            "galwad_desk_sign_ins", "Sign-ins by outcome", ["outcome"], registry=self.registry
        )
        self.token_expiry = Gauge(
            "galwad_desk_next_token_expiry_timestamp_seconds",
            "When the next token of a machine expires, in Unix seconds; 0 if none does",
            registry=self.registry,
        )
        self.pauses = Counter(
            "galwad_desk_holds",
            "Payment holds and releases",
            ["action", "outcome"],
            registry=self.registry,
        )
        self.forgotten_pauses = Gauge(
            "galwad_desk_forgotten_pauses",
            "Recordings that have now been paused for longer than pause_alarm",
            registry=self.registry,
        )
        self.lost_payment_pages = Gauge(
            "galwad_desk_lost_payment_pages",
            "Pause holders that have stopped renewing their pause",
            registry=self.registry,
        )
        self.indexed = Counter(
            "galwad_desk_recordings_indexed", "Recordings indexed", registry=self.registry
        )
        self.unexplained = Counter(
            "galwad_desk_unexplained_seconds",
            "Talk time that neither segments nor gaps cover",
            registry=self.registry,
        )
        self.undecoded = Counter(
            "galwad_desk_undecoded_packets",
            "Packets of recordings that could not be decoded; they are kept undecoded",
            registry=self.registry,
        )
        self.faulty_calls = Gauge(
            "galwad_desk_calls_amiss",
            "Calls that the last nightly check could not explain",
            registry=self.registry,
        )
        self.orphans = Gauge(
            "galwad_desk_orphans",
            "Files, rows and spools that lack their counterpart, by the last nightly check",
            registry=self.registry,
        )
        self.fetched = Counter(
            "galwad_desk_recordings_fetched", "Recordings handed out", registry=self.registry
        )
        self.alarms = Counter(
            "galwad_desk_alarms", "Alarms raised", ["kind"], registry=self.registry
        )
        self._open_alarms = Gauge(
            "galwad_desk_open_alarms",
            "Alarms that are not closed; with the state open, nobody has taken them",
            ["kind", "severity", "state"],
            registry=self.registry,
        )
        self._webhook_events = Counter(
            "galwad_desk_webhook_events",
            "Attempts to send a call event, and dropped events, by outcome",
            ["outcome"],
            registry=self.registry,
        )
        self._webhooks = Backlog(0, 0, None)
        Gauge(
            "galwad_desk_webhook_waiting",
            "Call events that wait to be sent",
            registry=self.registry,
        ).set_function(lambda: self._webhooks.waiting)
        Gauge(
            "galwad_desk_webhook_oldest_seconds",
            "For how long the oldest call event has waited",
            registry=self.registry,
        ).set_function(lambda: self._webhooks.age_s(time.time()))

        self._notes = Counter(
            "galwad_desk_note_attempts",
            "Attempts to deliver contact notes, by their outcome",
            ["outcome"],
            registry=self.registry,
        )
        self._notes_closed = Counter(
            "galwad_desk_notes_closed",
            "Contact notes that the desk closed because they were not saved: without any text, or"
            " with that of a draft",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("not_written", "unfinished"):
            self._notes_closed.labels(outcome)
        self._notes_undelivered = Gauge(
            "galwad_desk_notes_undelivered",
            "Versions of contact notes that are not delivered",
            ["state"],
            registry=self.registry,
        )
        self._oldest_note = Gauge(
            "galwad_desk_oldest_note_seconds",
            "Age of the oldest version that waits for its delivery; 0 if none waits",
            registry=self.registry,
        )
        self._note_backlog = Backlog(0, 0, None)
        self._oldest_note.set_function(lambda: self._note_backlog.age_s(time.time()))

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

    def watch_directories(self, directories: Iterable[LimitedSource]) -> None:
        """Add gauges that show which directories get no requests now."""
        resting = Gauge(
            "galwad_desk_directory_resting",
            "1 while a directory gets no requests, because it failed or asked for that",
            ["directory"],
            registry=self.registry,
        )
        for directory in directories:
            resting.labels(directory.name).set_function(partial(_is_resting, directory))

    def searched(self, search: Observation) -> None:
        """Count a search in a directory."""
        from_memory = "yes" if search.cached else "no"
        self._searches.labels(search.source, search.state.value, from_memory).inc()
        if search.seconds:
            self._search_seconds.labels(search.source).observe(search.seconds)

    def users_counted(self, counts: Mapping[PresenceState, int]) -> None:
        """Set the number of users in each state of presence."""
        for state in PresenceState:
            self._users.labels(state.value).set(counts.get(state, 0))

    def note_attempted(self, outcome: DeliveryOutcome) -> None:
        """Count an attempt to deliver a contact note."""
        self._notes.labels(outcome.value).inc()

    def note_closed(self, note: Note) -> None:
        """Count a contact note that the desk closed because it was not saved."""
        self._notes_closed.labels("unfinished" if note.unfinished else "not_written").inc()

    def note_backlog(self, backlog: Backlog) -> None:
        """Set the gauges of the contact notes that are not delivered."""
        self._notes_undelivered.labels("waiting").set(backlog.waiting)
        self._notes_undelivered.labels("refused").set(backlog.refused)
        self._note_backlog = backlog

    def open_alarms(self, alarms: Iterable[StoredAlarm]) -> None:
        """Show how many alarms of each kind are open, and how many are taken."""
        self._open_alarms.clear()
        for alarm in alarms:
            self._open_alarms.labels(alarm.kind, alarm.traits.severity.value, alarm.state).inc()

    def webhook_attempt(self, outcome: str, count: int = 1) -> None:
        """Count attempts to send a call event, or events that were dropped."""
        self._webhook_events.labels(outcome).inc(count)

    def webhook_backlog(self, backlog: Backlog) -> None:
        """Show how many call events wait, and since when."""
        self._webhooks = backlog

    def switch(self, figures: Figures) -> None:
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


def _is_resting(directory: LimitedSource) -> float:
    return float(directory.breaker_state in {BreakerState.OPEN, BreakerState.BUSY})
