"""No speech of a pause is stored, however the network delays it and whatever the sender does.

Covers `recording/spool/gate.py`. Each party is simulated with the true time of each packet.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.spool.gate import RecordingGate
from recording.spool.send_times import OVERTAKEN_US

PACKET_S = 0.020
BASE_S = 0.040
START_S, END_S = 8.0, 14.0
OWN_CLOCK_S = 3_970_000_000.25
CHECKED_S = OVERTAKEN_US / 1e6
"""For this time after a party's first packet since the pause, all of its packets are checked."""
REPORT_S = 2.5
TOLERANCE_S = 0.35
"""A jump of the timestamps that hides the delay of the network up to this looks like none."""


@dataclass(frozen=True)
class Line:
    """A party and its network. Times are seconds since the beginning of the call.

    From `stalls_at`, nothing arrives for `stalled_s`. Then all packets are late by this time, or if
    `drains` is true, those that waited arrive at once.
    """

    stalls_at: float
    stalled_s: float
    drains: bool = False
    new_ssrc_at: float | None = None
    jump_at: float | None = None
    jump_s: float = 0.0
    silent: tuple[float, float] = (0.0, 0.0)
    """From when until when the party sends nothing, because the person is silent."""
    reports: str = "none"
    """Which sender reports the party sends: "none", "clock" or "replies"."""
    jitter_s: float = 0.0
    ppm: float = 0.0
    stops: bool = False
    """True if the timestamps stand still while the party sends nothing."""

    @property
    def over_s(self) -> float:
        """The time of sending from which all packets must be stored, if nothing else happens."""
        return END_S + self.stalled_s + (self.silent[1] - self.silent[0]) + 1.0

    def traffic(self, until: float) -> Iterator[tuple[float, float, bytes]]:
        """Yield the arrival, the true time of sending and the datagram, in order of arrival."""
        chance = random.Random(7)
        arrives, jumped, stopped = 0.0, 0.0, 0.0
        for number in range(round(until / PACKET_S)):
            begun = number * PACKET_S
            sent = begun + PACKET_S
            if self.silent[0] <= begun < self.silent[1]:
                stopped += PACKET_S if self.stops else 0.0
                continue
            if self.jump_at is not None and begun >= self.jump_at:
                jumped = self.jump_s
            is_new = self.new_ssrc_at is not None and begun >= self.new_ssrc_at
            ssrc, first, from_number = (8, 77_000_000, 40_000) if is_new else (7, 5_000, 0)
            clock = (begun - stopped) * (1 + self.ppm / 1e6)
            stamp = round((clock + jumped) * 8000) + first & 0xFFFFFFFF
            sequence = number - round(stopped / PACKET_S) + from_number & 0xFFFF
            arrives = max(
                arrives + 0.0001, sent + self.delay(sent) + chance.random() * self.jitter_s
            )
            yield arrives, sent, struct.pack(">BBHII", 0x80, 0, sequence, stamp, ssrc) + bytes(20)
            if self.reports != "none" and not number % round(REPORT_S / PACKET_S):
                yield arrives + 0.00005, sent, self.report(ssrc, sent, stamp + 160, arrives)

    def delay(self, sent: float) -> float:
        """Return how long the network delays a packet."""
        waits = self.stalls_at + self.stalled_s - sent
        if sent < self.stalls_at:
            return BASE_S
        return BASE_S + (max(0.0, waits) if self.drains else self.stalled_s)

    def report(self, ssrc: int, sent: float, stamp: int, arrives: float) -> bytes:
        """Return a sender report, which replies to the report that has last reached the party.

        In a call without a clock, the party's own clock changes from report to report.
        """
        own_s = OWN_CLOCK_S + sent + (0.0 if self.reports == "clock" else sent * 0.1)
        heard = max(0, int((sent - BASE_S) / REPORT_S)) * REPORT_S
        name = int((OWN_CLOCK_S + heard) * 65536) & 0xFFFFFFFF
        after = round(max(0.0, sent - heard - BASE_S) * 65536)
        has_block = self.reports == "replies"
        block = struct.pack(">II8xII", 9, 0, name, after) if has_block else b""
        head = 0x80 | has_block, 200, 6 + len(block) // 4
        fields = ssrc, round(own_s * (1 << 32)), stamp & 0xFFFFFFFF, 1, 160
        return struct.pack(">BBHIQIII", *head, *fields) + block


def others_report(at: float) -> bytes:
    """Return a report of the other party, which the relay forwards at the time `at`."""
    ntp = round((OWN_CLOCK_S + at) * (1 << 32))
    return struct.pack(">BBHIQIII", 0x80, 200, 6, 9, ntp, 0, 1, 160)


def play(gate, line, pauses, until):
    """Return the true times of sending of all packets, and of those that the gate has stored."""
    events = [(start, -2, 0.0, b"") for start, _ in pauses]
    events += [(end, -1, 0.0, b"") for _, end in pauses]
    events += [
        (n * REPORT_S, 0, 0.0, others_report(n * REPORT_S)) for n in range(int(until / REPORT_S))
    ]
    events += [(arrives, 1, sent, data) for arrives, sent, data in line.traffic(until)]
    sent_all, kept = [], []
    for at, kind, sent, data in sorted(events):
        if kind == -2:
            gate.shut(confidential=True)
        elif kind == -1:
            gate.open(round(at * 1e6))
        elif kind == 0:
            gate.note_report(1, data, at)
        elif data[1] == 200:
            gate.note_report(0, data, at)
        else:
            before = gate.stored
            gate.store(0, data, at, False)
            sent_all.append(sent)
            if gate.stored > before:
                kept.append(sent)
    return sent_all, kept


def leaked(kept, pauses, tolerance_s=0.0):
    """Return the packets whose sound would have arrived in a pause without any delay."""
    return [
        sent
        for sent in kept
        for start, end in pauses
        if start <= sent + BASE_S and sent - PACKET_S + BASE_S + tolerance_s < end - 1e-5
    ]


def fails(error):
    raise AssertionError(error)


@pytest.fixture
def opened(spools):
    """Return a function that makes an open gate. All gates of a test share one spool."""
    writer = spools.writer()

    def make():
        gate = RecordingGate(0.0, fails, 3_000_000, writer)
        gate.open(0)
        return gate

    return make


LINES = st.builds(
    Line,
    stalls_at=st.floats(START_S - 3, END_S + 0.5),
    stalled_s=st.one_of(st.just(0.0), st.floats(0.5, 60.0)),
    drains=st.booleans(),
    new_ssrc_at=st.none() | st.floats(START_S - 1, END_S + 1),
    jump_at=st.none() | st.floats(START_S - 1, END_S + 1),
    jump_s=st.one_of(st.floats(-100.0, 100.0), st.sampled_from([-90_000.0, 250_000.0])),
    silent=st.one_of(
        st.just((0.0, 0.0)),
        st.tuples(st.floats(START_S - 1, END_S), st.floats(0.0, 20.0)).map(
            lambda both: (both[0], both[0] + both[1])
        ),
    ),
    reports=st.sampled_from(["none", "clock", "replies"]),
    jitter_s=st.sampled_from([0.0, 0.020]),
    ppm=st.sampled_from([-200.0, 0.0, 200.0]),
    stops=st.booleans(),
)


def is_visible(line):
    """Return False if a jump of the timestamps hides, by chance, how late the network is."""
    if line.jump_at is None or not line.stalled_s:
        return True
    after = line.delay(line.jump_at + PACKET_S) - BASE_S
    hidden = [after, after - (line.delay(line.jump_at) - BASE_S)]
    if line.drains or line.silent[0] <= line.jump_at <= line.silent[1]:
        return line.jump_s < -TOLERANCE_S or line.jump_s > line.stalled_s + TOLERANCE_S
    return all(abs(line.jump_s - each) > TOLERANCE_S for each in (*hidden, 0.0))


def changes_in_the_recording(line, from_s, until_s):
    """Return whether a new stream begins from `from_s` to `until_s`, when the network is slower.

    Late is what is later than usual before the pause at `until_s`, and the new stream has never
    been earlier.
    """
    changes = [at for at in (line.jump_at, line.new_ssrc_at) if at is not None]
    return line.stalls_at + line.stalled_s < until_s and any(
        from_s <= at + line.delay(at) < until_s + 0.5 for at in changes
    )


@settings(
    max_examples=examples(400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(line=LINES, again=st.booleans())
def test_no_packet_that_was_spoken_in_a_pause_is_stored(opened, line, again):
    assume(is_visible(line))
    assume(not changes_in_the_recording(line, 0.0, START_S))
    pauses = [(START_S, END_S)]
    if again:
        assume(not changes_in_the_recording(line, END_S + CHECKED_S, line.over_s))
        pauses.append((line.over_s, line.over_s + 3.0))
    sent, kept = play(opened(), line, pauses, pauses[-1][1] + line.stalled_s + 1.0)
    assert not leaked(kept, pauses, line.jitter_s)
    if not again:
        later = [each for each in sent if each > line.over_s]
        assert [each for each in kept if each > line.over_s] == later


@pytest.mark.parametrize("step_s", [0.5, 2.0, 3.5, 4.0, 6.0, 11.0, 30.0, 60.0])
@pytest.mark.parametrize("stalls_at", [START_S - 0.5, START_S + 1, END_S - 1])
def test_a_sudden_network_delay_lets_no_packet_of_the_pause_be_stored(opened, step_s, stalls_at):
    """The step crosses the beginning or the end of the pause, or is over before its end."""
    for new_ssrc_at in (None, stalls_at):
        for drains in (False, True):
            line = Line(stalls_at, step_s, drains, new_ssrc_at)
            sent, kept = play(opened(), line, [(START_S, END_S)], END_S + step_s + 2.0)
            assert not leaked(kept, [(START_S, END_S)])
            late = END_S - BASE_S + (step_s if new_ssrc_at else 0.0) + 0.1
            assert [each for each in kept if each > late] == [each for each in sent if each > late]


def missing(opened, line):
    """Return the seconds from the end of the pause to the first sound that is stored."""
    sent, kept = play(opened(), line, [(START_S, END_S)], END_S + 65.0)
    assert not leaked(kept, [(START_S, END_S)])
    first = min(each for each in kept if each + BASE_S > END_S)
    assert [each for each in sent if each > first] == [each for each in kept if each > first]
    return first - PACKET_S + line.delay(first) - END_S


@pytest.mark.parametrize(
    ("line", "cost_s"),
    [
        (Line(99, 0), 0.0),
        (Line(99, 0, silent=(9.0, 15.0)), 1.06),
        (Line(99, 0, new_ssrc_at=10.0), 0.04),
        (Line(10.0, 4.0), 4.0),
        (Line(10.0, 4.0, drains=True), 0.0),
        (Line(10.0, 4.0, drains=True, new_ssrc_at=10.0), 0.02),
        (Line(99, 0, new_ssrc_at=10.0, silent=(9.0, 10.0)), 1.04),
        (Line(99, 0, new_ssrc_at=10.0, silent=(9.0, 10.0), reports="clock"), 0.1),
        (Line(99, 0, new_ssrc_at=10.0, silent=(9.0, 10.0), reports="replies"), 0.18),
        (Line(99, 0, silent=(9.0, 12.0), stops=True), 3.0),
        (Line(99, 0, silent=(7.7, 9.0), stops=True, reports="clock"), 0.1),
        (Line(99, 0, silent=(9.0, 11.0), stops=True, reports="replies"), 0.18),
        (Line(99, 0, silent=(9.0, 14.0), stops=True, reports="replies"), 1.06),
    ],
)
def test_after_a_resume_the_documented_seconds_are_dropped(opened, line, cost_s):
    assert missing(opened, line) == pytest.approx(cost_s, abs=0.045)


@pytest.mark.parametrize("is_open", [True, False])
def test_a_pause_soon_after_a_restart_drops_one_packet_if_the_gate_was_open(spools, is_open):
    """The earlier process saved its state at the answer, ten minutes before the restart."""
    before = RecordingGate(started=0.0, on_failure=fails, writer=spools.writer())
    before.open(0)
    saved = before.saved()
    gate = RecordingGate(started=600.0, on_failure=fails, writer=spools.writer(2))
    gate.restore(saved, 0, is_open=is_open)
    gate.open(0)
    stored = []
    for number in range(round(10 / PACKET_S)):
        at = 600.0 + number * PACKET_S
        if number == 5:
            gate.shut(confidential=True)
        if number == 100:
            gate.open(100 * 20_000)
        kept = gate.stored
        packet = struct.pack(">BBHII", 0x80, 0, number, number * 160, 7) + bytes(20)
        gate.store(0, packet, at, False)
        if number > 100 and gate.stored > kept:
            stored.append(number)
    # If the gate was shut at the restart, the packets may be from the pause before it.
    assert (stored[:1] == [101]) is is_open
