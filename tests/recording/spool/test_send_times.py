"""The gate recognises packets of a pause that arrive after it, by their RTP timestamps.

Covers `recording/spool/send_times.py` and `recording/spool/gate.py`.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.spool.gate import RecordingGate, SavedLateness
from recording.spool.send_times import SavedSendTimes, StreamAnchor

PACKET_S = 0.020
QUARANTINE_S = 3.0
PCMA = 8


@dataclass
class Talker:
    """A party that sends a packet each 20 ms. `delay(sent)` is the network's delay of a packet."""

    delay: Callable[[float], float]
    rate: int = 8000
    ppm: float = 0.0
    ssrc: int = 7
    first_timestamp: int = 0xFFFF0000
    sent: list[tuple[float, float, bytes]] = field(default_factory=list)

    def packets(self, start, end):
        """Return (arrival, moment of sending, datagram) of each packet, by arrival."""
        for number in range(round(start / PACKET_S), round(end / PACKET_S)):
            sent = (number + 1) * PACKET_S
            ticks = round(number * PACKET_S * self.rate * (1 + self.ppm / 1e6))
            stamp = (self.first_timestamp + ticks) & 0xFFFFFFFF
            data = struct.pack(">BBHII", 0x80, PCMA, number & 0xFFFF, stamp, self.ssrc)
            self.sent.append((sent + self.delay(sent), sent, data + bytes(160)))
        return self.sent


def play(gate, packets, pauses, restarts=()):
    """Give the gate all packets and pauses in order of time.

    `pauses` has (start, end) of each pause in seconds, and `restarts` (end, start) of the processes
    before and after each restart. A process saves its state at each pause and each end of a pause.
    Return the sending times of the packets that the gate has stored.
    """
    events = [(start, 0, 0.0, b"pause") for start, _ in pauses]
    events += [(end, 0, 0.0, b"end") for _, end in pauses]
    events += [(arrived, 1, sent, data) for arrived, sent, data in packets]
    events += [(end, 0, start, b"restart") for end, start in restarts]
    kept = []
    starts = 0.0
    saved = None
    for at, order, sent, data in sorted(events, key=lambda event: event[:2]):
        now_us = round((at - gate.started) * 1e6)
        if not order and data == b"restart":
            starts, is_open = sent, gate.is_open
            gate = restarted(gate, saved, starts)
            if is_open:
                gate.open(0)
            else:
                gate.shut(confidential=True)
        elif not order and data == b"pause":
            gate.shut(confidential=True)
            saved = gate.saved()
        elif not order:
            gate.open(now_us)
            saved = gate.saved()
        elif at >= starts:
            before = gate.stored
            gate.store(0, data, at, False)
            if gate.stored > before:
                kept.append(sent)
    return kept


def restarted(gate, saved, at):
    """Return the gate of the next process, which reads `saved` from a checkpoint at the time `at`.

    The codecs of the call are set again when its media is restored. Times in the spool are not
    compared here.
    """
    again = RecordingGate(at, gate.on_failure, gate.quarantine_us, gate.writer)
    if saved is not None:
        read = msgspec.json.decode(msgspec.json.encode(saved), type=SavedLateness)
        assert read == saved
        again.restore(read, 0)
    again.send_times.set_rates(0, {PCMA: 8000})
    return again


@pytest.fixture
def opened_gate(spools):
    """Return a function that makes an open gate. All gates of a test share one spool."""
    writer = spools.writer()

    def fail(error):
        raise AssertionError(error)

    def opened():
        gate = RecordingGate(0.0, fail, round(QUARANTINE_S * 1e6), writer)
        gate.open(0)
        return gate

    return opened


def cost_s(kept, end):
    """Return the seconds from the end of a pause to the first packet that was kept after it."""
    return min(sent for sent in kept if sent > end) - PACKET_S - end


@pytest.mark.parametrize("rise_s", [0.0, 0.1, 1.0, 2.5, QUARANTINE_S - 0.1])
def test_packets_of_a_pause_that_a_slower_network_delays_are_not_stored(opened_gate, rise_s):
    gate = opened_gate()
    talker = Talker(lambda sent: 0.030 if sent < 12 else 0.030 + rise_s)
    kept = play(gate, talker.packets(0, 40), [(10.0, 20.0)])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]
    assert cost_s(kept, 20.0) < 0.060  # a packet, and the allowance for the clocks


def test_packets_of_a_pause_are_not_stored_if_the_network_becomes_slower_step_by_step(opened_gate):
    gate = opened_gate()
    talker = Talker(lambda sent: 0.030 + min(6.0, max(0, sent - 11)))
    kept = play(gate, talker.packets(0, 40), [(10.0, 20.0)])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]
    assert cost_s(kept, 20.0) < 0.060  # a packet, and the allowance for the clocks


def test_packets_of_a_pause_that_are_delayed_only_briefly_are_not_stored(opened_gate):
    gate = opened_gate()
    talker = Talker(lambda sent: 1.5 if 19.0 < sent < 20.2 else 0.030)
    kept = play(gate, talker.packets(0, 40), [(10.0, 20.0)])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]


@pytest.mark.parametrize("ppm", [-400, -300, 300, 400])
@pytest.mark.parametrize("rise_s", [0.0, 1.0])
def test_a_drifting_clock_lets_no_packet_of_a_long_pause_pass(opened_gate, ppm, rise_s):
    gate = opened_gate()
    talker = Talker(lambda sent: 0.030 if sent < 300 else 0.030 + rise_s, ppm=ppm)
    kept = play(gate, talker.packets(0, 700), [(30.0, 630.0)])
    assert not [sent for sent in kept if 29.99 < sent - PACKET_S + 0.030 < 630.0 - 1e-6]
    assert cost_s(kept, 630.0) < 600 * 1e-6 * (500 + abs(ppm)) + 0.060


@pytest.mark.parametrize("ssrc", [7, 8])
@pytest.mark.parametrize("rise_s", [0.0, 1.0])
def test_a_new_stream_without_an_interruption_is_stored_almost_at_once(opened_gate, ssrc, rise_s):
    """The network becomes slower at the same moment."""
    gate = opened_gate()
    before = Talker(lambda _: 0.030).packets(0, 15)
    after = Talker(lambda _: 0.030 + rise_s, ssrc=ssrc, first_timestamp=99_000).packets(15, 40)
    kept = play(gate, [*before, *after], [(10.0, 20.0)])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]
    assert cost_s(kept, 20.0) < 0.100


@pytest.mark.parametrize("delay_s", [0.03, 1.2, 6.0])
def test_after_a_pause_a_new_stream_is_dropped_for_as_long_as_the_interruption_lasted(
    opened_gate, delay_s
):
    """They were sent after the interruption began, so they may be late by its whole length."""
    gate = opened_gate()
    before = Talker(lambda _: 0.030).packets(0, 12)
    after = Talker(lambda _: delay_s, ssrc=8, first_timestamp=99_000).packets(18, 60)
    kept = play(gate, [*before, *after], [(10.0, 20.0)])
    assert not [sent for sent in kept if 10.0 <= sent < 20.0]
    interrupted_s = 18.0 - 12.0
    assert cost_s(kept, 20.0) == pytest.approx(interrupted_s, abs=0.100)


def test_after_a_pause_a_first_stream_is_dropped_for_as_long_as_the_party_was_silent(opened_gate):
    gate = opened_gate()
    kept = play(gate, Talker(lambda _: 1.2).packets(12, 40), [(10.0, 20.0)])
    assert not [sent for sent in kept if 10.0 <= sent < 20.0]
    assert cost_s(kept, 20.0) == pytest.approx(12.0, abs=0.100)


def test_telephone_events_in_a_pause_do_not_delay_storing_after_it(opened_gate):
    gate = opened_gate()
    packets = Talker(lambda _: 0.030).packets(0, 40)
    events = [(at, sent, data) for at, sent, data in packets if 12 < at < 14]
    kept = []
    for at, sent, data in packets:
        if at >= 20 and not gate.is_open:
            gate.open(20_000_000)
        if 10 < at < 20 and gate.is_open:
            gate.shut(confidential=True)
        begun = events[0][2][4:8]  # the timestamp of an event is that of its beginning
        is_event = 12 < at < 14
        before = gate.stored
        gate.store(0, data[:4] + begun + data[8:] if is_event else data, at, is_event)
        if gate.stored > before:
            kept.append(sent)
    assert cost_s(kept, 20.0) < 0.060


@pytest.mark.parametrize("stood_s", [1.0, 30.0])
def test_after_a_pause_a_stream_with_stopped_timestamps_is_dropped_for_as_long_as_they_stopped(
    opened_gate, stood_s
):
    """In the packets, this looks just like a network that became slower."""
    gate = opened_gate()
    packets = Talker(lambda sent: 0.030 if sent < 12 else 0.030 + stood_s).packets(0, 90)
    end = 13.0 + stood_s
    kept = play(gate, packets, [(10.0, end)])
    arrived = {sent: at for at, sent, _ in packets}
    first = min(arrived[sent] for sent in kept if sent >= 12)
    assert first - end == pytest.approx(stood_s, abs=0.100)


def test_a_leg_that_is_connected_after_the_pause_is_stored_at_once(opened_gate):
    gate = opened_gate()
    gate.shut(confidential=True)
    gate.open(20_000_000)
    gate.attach(0, 20_000_000, None)
    kept = play(gate, Talker(lambda _: 0.030, ssrc=9).packets(20, 22), [])
    assert min(kept) == pytest.approx(20.02)


def test_the_first_packet_after_the_end_of_a_storage_fault_is_stored(opened_gate):
    gate = opened_gate()
    packets = Talker(lambda sent: 0.030 if sent < 12 else 1.0).packets(0, 40)
    kept = []
    for arrived, _, data in packets:
        if gate.is_open and 10 < arrived < 20:
            gate.shut()
        if not gate.is_open and arrived >= 20:
            gate.open(20_000_000)
        before = gate.stored
        gate.store(0, data, arrived, False)
        if gate.stored > before and arrived >= 20:
            kept.append(arrived)
    assert min(kept) < 20.0 + PACKET_S


@pytest.mark.parametrize("step", [0, 1, 320])
def test_a_sender_with_unusable_timestamps_loses_at_most_the_quarantine_after_a_pause(
    opened_gate, step
):
    gate = opened_gate()
    packets = [
        (
            number * PACKET_S + 0.030,
            number * PACKET_S,
            struct.pack(">BBHII", 0x80, PCMA, number & 0xFFFF, number * step, 7) + bytes(160),
        )
        for number in range(3000)
    ]
    kept = play(gate, packets, [(20.0, 30.0)])
    assert not [sent for sent in kept if 20.0 <= sent < 30.0]
    assert cost_s(kept, 30.0) <= QUARANTINE_S


@pytest.mark.parametrize("step", [0, 1, 320])
@pytest.mark.parametrize("stalled_s", [3.5, 20.0])
def test_a_sender_with_unusable_timestamps_loses_at_most_the_quarantine_after_a_stall(
    opened_gate, step, stalled_s
):
    """Nothing arrives from 26 seconds on, and then all packets are as late as that."""
    gate = opened_gate()
    packets = []
    for number in range(3500):
        sent = number * PACKET_S
        head = struct.pack(">BBHII", 0x80, PCMA, number & 0xFFFF, number * step, 7)
        packets.append((sent + 0.03 + (stalled_s if sent > 26 else 0.0), sent, head + bytes(160)))
    kept = play(gate, packets, [(20.0, 30.0)])
    assert not [sent for sent in kept if 20.0 <= sent < 30.0]
    assert cost_s(kept, 30.0) <= QUARANTINE_S + 2 * PACKET_S


@pytest.mark.long
def test_no_packet_of_a_thousand_pauses_with_random_delays_is_stored(opened_gate):
    chance = random.Random(20261127)
    for _ in range(examples(1000)):
        base_s, jitter_s = chance.uniform(0.005, 0.300), chance.uniform(0.0, 0.060)
        rise_s, ppm = chance.uniform(0.0, QUARANTINE_S - 0.1), chance.uniform(-300, 300)
        start = chance.uniform(8.0, 9.0)
        end = start + chance.uniform(1.0, 12.0)
        risen_at = chance.uniform(start, end)

        def delay(sent, base_s=base_s, jitter_s=jitter_s, rise_s=rise_s, risen_at=risen_at):
            return base_s + chance.random() * jitter_s + (rise_s if sent > risen_at else 0.0)

        gate = opened_gate()
        packets = Talker(delay, ppm=ppm).packets(0, end + 12)
        kept = play(gate, packets, [(start, end)])
        assert not [sent for sent in kept if start <= sent + base_s <= end]
        assert min(sent for sent in kept if sent + base_s > end) + base_s - end < 0.1 + jitter_s


@pytest.mark.parametrize("rise_s", [0.0, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("rises_at", [11.0, 14.5, 18.0])
def test_after_a_restart_in_a_pause_no_late_packet_is_stored_and_under_60_ms_are_dropped(
    opened_gate, rise_s, rises_at
):
    """The network becomes slower step by step, before, during or after the restart."""

    def delay(sent):
        return 0.030 + min(rise_s, max(0, sent - rises_at))

    packets = Talker(delay).packets(0, 40)
    kept = play(opened_gate(), packets, [(10.0, 20.0)], [(14.0, 15.5)])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]
    assert cost_s(kept, 20.0) < 0.060  # a packet, and the allowance for the clocks


def test_without_a_saved_state_packets_are_dropped_for_as_long_as_the_call_had_lasted(opened_gate):
    gate = opened_gate()
    before = Talker(lambda _: 0.030).packets(0, 12)
    play(gate, before, [(10.0, 99.0)])
    again = restarted(gate, None, 12.0)
    again.send_times.begin(-12_000_000)
    again.shut(confidential=True)
    again.open(8_000_000)
    kept = play(again, Talker(lambda _: 0.030).packets(13, 60), [])
    assert cost_s(kept, 20.0) == pytest.approx(13.0, abs=0.100)


def test_late_packets_of_a_pause_are_not_stored_after_a_restart_soon_after_the_pause(opened_gate):
    packets = Talker(lambda sent: 0.030 + min(4.0, max(0, sent - 12))).packets(0, 60)
    kept = play(opened_gate(), packets, [(10.0, 20.0)], [(20.5, 22.0)])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]
    assert cost_s(kept, 20.0) < 0.060


def test_late_packets_of_a_pause_are_not_stored_after_a_fault_soon_after_the_pause(opened_gate):
    gate = opened_gate()
    packets = Talker(lambda sent: 0.030 + min(4.0, max(0, sent - 12))).packets(0, 60)
    kept = play(gate, [each for each in packets if each[0] < 20.5], [(10.0, 20.0)])
    gate.shut()
    gate.open(21_000_000)
    kept += play(gate, [each for each in packets if each[0] >= 21], [])
    assert not [sent for sent in kept if 9.99 < sent - PACKET_S + 0.030 < 20.0 - 1e-6]


def test_no_packet_of_a_pause_from_a_leg_connected_in_the_pause_is_stored_after_a_restart(
    opened_gate,
):
    """The switch has restarted after the end of the pause."""
    gate = opened_gate()
    gate.shut(confidential=True)
    gate.attach(0, 19_000_000, None)
    gate.open(20_000_000)
    again = restarted(gate, gate.saved(), 21.0)
    again.open(0)
    kept = play(again, Talker(lambda _: 1.5, ssrc=9).packets(19.1, 40), [])
    assert min(kept) == pytest.approx(20.0 + 0.1, abs=3 * PACKET_S)


def test_packets_after_a_restart_are_dropped_for_as_long_as_their_party_was_silent(opened_gate):
    gate = opened_gate()
    gate.shut(confidential=True)
    again = restarted(gate, gate.saved(), 15.0)
    again.shut(confidential=True)
    again.open(5_000_000)
    kept = play(again, Talker(lambda _: 12.0).packets(10, 60), [])
    assert min(kept) == pytest.approx(10.0 + 20.0, abs=0.100)


@pytest.mark.parametrize("heard_s", [None, 20.5])
def test_the_first_packet_of_a_leg_connected_a_second_after_the_pause_is_stored(
    opened_gate, heard_s
):
    """A colleague whom the advisor has consulted may already talk when the leg is connected."""
    gate = opened_gate()
    play(gate, Talker(lambda _: 0.030).packets(0, 21), [(10.0, 20.0)])
    gate.attach(0, 21_000_000, None if heard_s is None else round(heard_s * 1e6))
    kept = play(gate, Talker(lambda _: 0.030, ssrc=9).packets(21, 23), [])
    assert min(kept) == pytest.approx(21.02)


def test_late_speech_of_a_colleague_from_the_pause_is_not_stored(opened_gate):
    """The colleague was consulted in the pause and was last heard at second 15."""
    gate = opened_gate()
    play(gate, Talker(lambda _: 0.030).packets(0, 35), [(10.0, 20.0)])
    gate.attach(0, 36_000_000, 15_000_000)
    kept = play(gate, Talker(lambda _: 21.1, ssrc=9).packets(15, 40), [])
    assert min(kept) == pytest.approx(20.0, abs=0.100)
    assert min(kept) >= 20.0


def test_no_packet_of_a_thousand_pauses_with_restarts_and_random_delays_is_stored(opened_gate):
    chance = random.Random(20261128)
    for _ in range(examples(1000)):
        base_s, jitter_s = chance.uniform(0.005, 0.300), chance.uniform(0.0, 0.060)
        rise_s, ppm = chance.uniform(0.0, QUARANTINE_S - 0.1), chance.uniform(-300, 300)
        start = chance.uniform(8.0, 9.0)
        end = start + chance.uniform(1.0, 12.0)
        risen_at = chance.uniform(start, end)
        killed = chance.uniform(start, end)
        starts = killed + chance.uniform(0.1, 3.0)
        end = max(end, starts)

        def delay(sent, base_s=base_s, jitter_s=jitter_s, rise_s=rise_s, risen_at=risen_at):
            return base_s + chance.random() * jitter_s + (rise_s if sent > risen_at else 0.0)

        packets = Talker(delay, ppm=ppm).packets(0, end + 12)
        kept = play(opened_gate(), packets, [(start, end)], [(killed, starts)])
        assert not [sent for sent in kept if start <= sent + base_s <= end]
        assert min(sent for sent in kept if sent + base_s > end) + base_s - end < 0.1 + jitter_s


_COUNTS = st.integers(-(1 << 62), 1 << 62)
_STREAMS = st.builds(
    StreamAnchor,
    **dict.fromkeys(["rate", "at_us", "heard_us", "proven_us", "timestamp", "packet_us"], _COUNTS),
    track=st.integers(0, 1),
    ssrc=st.just(0),
    uncertain_us=st.none() | _COUNTS,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    streams=st.lists(_STREAMS, max_size=10),
    latest=st.lists(st.tuples(st.integers(0, 1), _COUNTS, st.none() | _COUNTS), max_size=3),
    datagrams=st.lists(st.binary(max_size=40), max_size=30),
)
def test_arbitrary_saved_values_raise_nothing(opened_gate, streams, latest, datagrams):
    gate = opened_gate()
    times = SavedSendTimes(streams=tuple(streams), latest=tuple(latest), attached=())
    gate.restore(SavedLateness(sent_after_us=0, checked_until_us=0, send_times=times), 0)
    gate.shut(confidential=True)
    gate.open(0)
    for number, data in enumerate(datagrams):
        gate.store(number % 2, data.ljust(12, b"\0"), number * 0.1, False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(datagrams=st.lists(st.binary(max_size=40), max_size=30))
def test_arbitrary_data_is_never_stored_in_a_pause_and_raises_nothing(opened_gate, datagrams):
    gate = opened_gate()
    for number, data in enumerate(datagrams):
        gate.store(0, data.ljust(12, b"\0"), number * 0.1, False)
    gate.shut(confidential=True)
    before = gate.stored
    for number, data in enumerate(datagrams):
        gate.store(number % 2, data, 10 + number * 0.1, False)
    assert gate.stored == before
    gate.open(20_000_000)
    for number, data in enumerate(datagrams):
        gate.store(number % 2, data.ljust(12, b"\0"), 20 + number * 0.1, False)
