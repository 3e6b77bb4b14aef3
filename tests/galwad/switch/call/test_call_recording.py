"""The packets that the relay counts on the recorded legs of a call."""

from typing import Any

from galwad.switch.call.call_recording import RecordedLegs
from recording.recorder import Recorder
from recording.spool import Clock
from recording.spool.packet_counts import Arrivals
from telephony.aio.media_leg import Counters


class CountingRelay:
    """A relay whose counters the test sets; a leg that is not in `counters` is unknown."""

    def __init__(self):
        self.counters = {leg_id: Counters() for leg_id in ("caller", "sian", "ceri")}

    def set_tap(self, leg_id, _track, _tap, _on_lost=None, _on_report=None):
        return self.counters.get(leg_id)


def no_spool():
    raise OSError("no spool in this test")


def test_a_track_counts_the_packets_of_each_leg_only_while_the_leg_is_recorded():
    relay: Any = CountingRelay()
    legs = RecordedLegs(relay)
    recorder = Recorder(no_spool, Clock(0.0, 0.0))
    relay.counters["caller"].received = relay.counters["sian"].received = 5
    legs.connect(recorder, "caller", "sian")
    assert recorder.packets.arrivals == legs.arrivals
    assert legs.arrivals(0) == legs.arrivals(1) == Arrivals()
    relay.counters["caller"].refused = 2
    relay.counters["sian"].received = 8
    relay.counters["ceri"].received = 100
    legs.follow("ceri")
    relay.counters["sian"].received = 60
    relay.counters["ceri"].received = 104
    relay.counters["ceri"].unwanted = 1
    assert legs.arrivals(0) == Arrivals(0, 2, 0)
    assert legs.arrivals(1) == Arrivals(7, 0, 1)


def test_a_leg_that_was_closed_before_it_was_connected_counts_no_packets():
    relay: Any = CountingRelay()
    legs = RecordedLegs(relay)
    legs.connect(Recorder(no_spool, Clock(0.0, 0.0)), "caller", "closed meanwhile")
    assert legs.arrivals(1) == Arrivals()
    legs.follow("sian")
    relay.counters["sian"].received = 3
    assert legs.arrivals(1) == Arrivals(3)


def test_a_leg_that_is_followed_later_is_attached_at_the_time_of_its_latest_packet():
    """After a pause, a colleague who was connected after it loses nothing."""
    relay: Any = CountingRelay()
    legs = RecordedLegs(relay)
    recorder = Recorder(no_spool, Clock(0.0, 0.0), clock=lambda: 30.0)
    legs.connect(recorder, "caller", "sian")
    assert recorder.lateness.send_times.attached == ((1, 30_000_000),)
    relay.counters["ceri"].last = 25.0
    legs.follow("ceri")
    assert recorder.lateness.send_times.attached == ((1, 25_000_000),)
