"""Which sender is the peer of a leg, and which stream is the peer's voice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.aio.media_source import (
    ESTABLISHED,
    KEYS_WAIT_S,
    REAL_SILENCE_S,
    Fit,
    PeerSource,
    SourceRule,
    VoiceStream,
)
from telephony.rtp.packet import RtpPacket

SDP, ASTRAY, NAT = ("192.0.2.1", 4000), ("192.0.2.1", 5000), ("198.51.100.1", 4000)
NEIGHBOUR, STRANGER = ("198.51.100.1", 9), ("203.0.113.1", 9)
SSRC, OTHER = b"\0\0\0\7", b"\0\0\0\x08"


def rtp(sequence, ssrc=7):
    return bytes(RtpPacket(0, sequence & 0xFFFF, 0, ssrc, b"sound"))


class Leg:
    """A source with the clock and the newest arrival that its leg would have."""

    def __init__(self, rule=SourceRule.SYMMETRIC, signalling_host=NAT[0]):
        self.source = PeerSource(rule)
        self.source.set_rule(rule, signalling_host)
        self.now, self.heard, self.sequence = 0.0, None, 0
        self.move(SDP)

    def move(self, sdp):
        self.now += 0.001
        host, port = sdp
        self.source.move(host, port, self.heard, self.now)

    def send(self, sender, count=1):
        """Let the sender send packets, one each 20 ms; return how many were handled."""
        handled = 0
        for _ in range(count):
            self.now += 0.02
            self.sequence += 1
            handled += self._handled(sender)
        return handled

    def _handled(self, sender):
        if self.source.accepts(sender) or (self.source.accepted is None and sender == SDP):
            number = 1  # the kernel delivers the packets of the SDP's address
        else:
            number = len(self.source.prove(sender, rtp(self.sequence), self.heard, self.now) or ())
        if number:
            self.heard = self.now
        return number


@pytest.mark.parametrize("rule", [SourceRule.SYMMETRIC, SourceRule.LATCH])
@pytest.mark.parametrize(("sender", "needed"), [(ASTRAY, 5), (NAT, 5), (STRANGER, 10)])
def test_enough_packets_prove_a_sender_unless_the_rule_excludes_the_host(rule, sender, needed):
    leg = Leg(rule)
    accepted = rule is SourceRule.LATCH or sender is not STRANGER
    assert leg.send(sender, needed - 1) == 0
    assert leg.send(sender) == (needed if accepted else 0)
    assert leg.source.accepted == (sender if accepted else None)
    assert (leg.source.contested, leg.source.dropped) == (False, 0)


def test_packets_out_of_sequence_do_not_prove_their_sender():
    leg = Leg()
    for sequence in (1, 100, 200, 300, 400, 500, 600):
        assert not leg.source.prove(ASTRAY, rtp(sequence), None, 1.0)
    assert leg.source.accepted is None


def test_the_sdps_address_takes_the_place_of_a_learned_sender_at_once():
    leg = Leg()
    leg.send(NAT, 5)
    assert leg.source.prove(SDP, rtp(1), leg.heard, leg.now) is not None
    assert (leg.source.accepted, leg.source.learned) == (SDP, None)


def test_a_known_host_replaces_a_stranger_and_a_stranger_does_not_replace_a_known_host():
    leg = Leg(SourceRule.LATCH)
    leg.send(STRANGER, 10)
    assert leg.send(NAT, 5) == 5
    assert leg.send(STRANGER, 100) == 0
    assert (leg.source.accepted, leg.source.contested) == (NAT, False)


def test_no_other_sender_is_accepted_while_the_sdps_address_sends():
    leg = Leg()
    leg.send(SDP)
    for _ in range(100):
        assert leg.send(SDP) == 1
        assert leg.send(ASTRAY) == 0
        assert leg.send(NAT) == 0
    assert (leg.source.accepted, leg.source.contested) == (SDP, False)


def test_a_second_sender_that_fits_equally_well_is_refused_and_reported():
    leg = Leg()
    leg.send(NAT, 5)
    for _ in range(5):
        assert leg.send(NEIGHBOUR) == 0
        leg.sequence -= 1
        assert leg.send(NAT) == 1
    assert (leg.source.accepted, leg.source.contested) == (NAT, True)


def test_two_senders_that_prove_themselves_at_the_same_time_are_reported():
    leg = Leg()
    for _ in range(5):
        leg.send(NEIGHBOUR)
        leg.sequence -= 1
        leg.send(NAT)
    assert leg.source.contested


def test_after_a_long_silence_another_sender_is_accepted_until_the_first_returns():
    leg = Leg()
    leg.send(NAT, 5)
    leg.now += REAL_SILENCE_S - 1
    assert leg.send(NEIGHBOUR, 5) == 0
    leg.now += 1
    leg.sequence += 100
    assert leg.send(NEIGHBOUR, 5) == 5
    assert (leg.source.accepted, leg.source.contested) == (NEIGHBOUR, True)
    assert leg.send(NAT) == 1
    assert leg.send(NEIGHBOUR, 20) == 0
    assert leg.source.contested


def test_the_previous_sender_is_still_heard_after_new_sdp_until_another_is_accepted():
    leg = Leg()
    leg.send(NAT, 5)
    leg.source.contested = True
    leg.move(("192.0.2.1", 4002))
    assert leg.send(NAT, 3) == 3
    assert (leg.source.accepted, leg.source.contested) == (None, False)
    assert leg.send(NEIGHBOUR, 5) == 5
    assert leg.source.accepted == NEIGHBOUR
    assert leg.send(NAT, 3) == 0


def test_a_sender_that_stays_after_new_sdp_is_accepted_again():
    leg = Leg()
    leg.send(NAT, 5)
    leg.move(("192.0.2.1", 4002))
    assert leg.send(NAT, ESTABLISHED) == ESTABLISHED
    assert leg.source.accepted == NAT


def test_a_packet_from_the_previous_sdp_address_is_still_handled_after_new_sdp():
    leg = Leg()
    leg.send(SDP)
    leg.move(("192.0.2.1", 4002))
    handled = leg.source.prove(SDP, rtp(1), leg.heard, leg.now)
    assert handled is not None
    assert len(handled) == 1


def test_the_accepted_sender_is_forgotten_under_a_new_rule_and_kept_under_the_same_rule():
    leg = Leg(SourceRule.LATCH)
    leg.send(STRANGER, 10)
    assert not leg.source.set_rule(SourceRule.LATCH, NAT[0])
    assert leg.source.accepted == STRANGER
    assert leg.source.set_rule(SourceRule.SYMMETRIC, NAT[0])
    assert leg.source.accepted is None


def test_the_host_rule_accepts_every_port_of_the_sdps_host_and_no_other():
    leg = Leg(SourceRule.SDP_HOST)
    assert [leg.send(sender) for sender in (ASTRAY, SDP, NAT, STRANGER)] == [1, 1, 0, 0]


def test_a_stranger_can_be_accepted_only_by_the_latch_rule_while_no_known_sender_is_heard():
    leg = Leg(SourceRule.LATCH)
    assert leg.source.could_accept(STRANGER, None, 0.0)
    leg.source.accept_authentic(NAT)
    assert not leg.source.could_accept(STRANGER, 1.0, 2.0)
    assert leg.source.could_accept(ASTRAY, 1.0, 2.0)
    assert leg.source.could_accept(STRANGER, 1.0, 1.0 + REAL_SILENCE_S)
    assert not Leg(SourceRule.SYMMETRIC).source.could_accept(STRANGER, None, 0.0)


@given(st.lists(st.tuples(st.sampled_from([SDP, ASTRAY, NAT, NEIGHBOUR, STRANGER]), st.integers())))
def test_a_sender_at_an_unknown_host_is_never_accepted_by_the_symmetric_rule(packets):
    source = PeerSource(SourceRule.SYMMETRIC)
    source.set_rule(SourceRule.SYMMETRIC, NAT[0])
    source.move(*SDP, None, 0.0)
    for now, (sender, sequence) in enumerate(packets):
        if not source.accepts(sender):
            source.prove(sender, rtp(sequence), now - 1.0, float(now))
        assert source.accepted is None or source.fit(source.accepted) >= Fit.KNOWN_HOST


def voice(*streams):
    """Return what is known after these voice packets, each (sender, SSRC, count)."""
    stream, number = VoiceStream(), 0
    for sender, ssrc, count in streams:
        for _ in range(count):
            number += 1
            if (sender, ssrc[-1]) != (stream.sender, stream.low_byte):
                stream.hear_other(sender, ssrc, number, named_by_sdp=sender == SDP)
    return stream


def test_a_stream_becomes_the_voice_after_half_a_second():
    assert not voice((SDP, SSRC, ESTABLISHED - 1)).contains(SDP, SSRC)
    stream = voice((SDP, SSRC, ESTABLISHED))
    assert stream.contains(SDP, SSRC)
    assert not stream.contains(SDP, OTHER)
    assert not stream.contains(ASTRAY, SSRC)


def test_another_ssrc_becomes_the_voice_only_after_the_voice_has_stopped():
    started = (SDP, SSRC, ESTABLISHED)
    assert voice(started, *[(SDP, OTHER, 1), (SDP, SSRC, 1)] * 100).contains(SDP, SSRC)
    assert voice(started, (SDP, OTHER, ESTABLISHED)).contains(SDP, OTHER)


def test_after_simultaneous_voices_from_two_ports_no_stream_counts_as_the_voice():
    stream = voice((SDP, SSRC, ESTABLISHED), *[(ASTRAY, OTHER, 1), (SDP, SSRC, 1)] * ESTABLISHED)
    assert not stream.contains(ASTRAY, OTHER)
    assert not stream.contains(SDP, SSRC)


def test_a_voice_from_the_sdps_address_replaces_another_voice_at_its_first_packet():
    stream = voice((ASTRAY, OTHER, ESTABLISHED), (SDP, SSRC, 1))
    assert stream.contains(SDP, SSRC)
    assert not stream.contains(ASTRAY, OTHER)


def test_telephone_events_among_the_first_voice_packets_do_not_delay_the_voice():
    stream = VoiceStream()
    for number in range(ESTABLISHED):
        stream.hear_other(SDP, SSRC, 2 * number, named_by_sdp=True)
    assert stream.contains(SDP, SSRC)


def key(ssrc, number):
    return rtp(number)[:8] + ssrc + bytes(4)


def test_keys_of_a_new_ssrc_are_kept_until_the_ssrc_becomes_the_voice_without_delay():
    stream = voice((SDP, SSRC, ESTABLISHED))
    number = ESTABLISHED
    for step in range(ESTABLISHED):
        number += 1
        is_voice = stream.hear_other(SDP, OTHER, number, named_by_sdp=True)
        assert is_voice is (step == ESTABLISHED - 1)
        if step < 3:
            number += 1
            stream.keep_key(SDP, key(OTHER, number), number, step / 50)
    stream.keep_key(SDP, key(b"none", 1), number, 0.1)
    assert [packet[8:12] for packet, _ in stream.take_keys(1.0)] == [OTHER] * 3
    assert stream.take_keys(1.0) == []


def test_keys_of_a_stream_that_is_not_the_voice_are_never_taken():
    stream = voice((SDP, SSRC, ESTABLISHED))
    stream.keep_key(SDP, key(OTHER, 1), ESTABLISHED + 1, 0.0)
    stream.keep_key(ASTRAY, key(SSRC, 2), ESTABLISHED + 2, 0.0)
    assert stream.take_keys(0.1) == []


def test_keys_that_have_waited_for_long_are_not_taken():
    stream = voice((SDP, SSRC, ESTABLISHED), (SDP, OTHER, ESTABLISHED - 1))
    stream.keep_key(SDP, key(OTHER, 1), 2 * ESTABLISHED, 0.0)
    assert stream.hear_other(SDP, OTHER, 2 * ESTABLISHED + 1, named_by_sdp=True)
    assert stream.take_keys(KEYS_WAIT_S + 0.1) == []
