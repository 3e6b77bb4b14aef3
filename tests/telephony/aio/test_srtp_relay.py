"""Legs of the relay with SRTP, each independent of the other.

Covers `telephony/aio/media_leg.py` and `telephony/aio/media_path.py`.
"""

import random
import socket

import pytest

from telephony.aio.ports import PortPool
from telephony.aio.relay import SourceRule
from telephony.rtp.packet import RtpPacket
from telephony.rtp.rtcp import BYE, SENDER_REPORT, parse_compound
from telephony.rtp.srtp import Protection
from telephony.sdp import KeyPair, Suite, fresh_keys

REPORT = bytes([0x80, 200, 0, 6]) + (7).to_bytes(4) + bytes(20)


def copied(what):
    """Return what a tap was given; the relay overwrites the packet afterwards."""
    track, data, *others = what
    return (track, bytes(data), *others)


class Secure:
    """The SRTP state of a peer; `configure` gives its keys to the peer's leg."""

    def __init__(self, phone, suite=Suite.AES_CM_128_HMAC_SHA1_80):
        self.phone = phone
        self.keys = KeyPair(fresh_keys()[suite], fresh_keys()[suite])
        self.end = Protection(KeyPair(self.keys.theirs, self.keys.ours))

    def configure(self, **changes):
        self.phone.configure(keys=self.keys, **changes)

    def change_key(self):
        self.keys = KeyPair(self.keys.ours, fresh_keys()[self.keys.ours.suite])
        self.end.rekey(KeyPair(self.keys.theirs, self.keys.ours))

    def send(self, data, made=None):
        self.phone.send(self.end.protect(data), made)

    async def heard(self):
        return self.end.unprotect(await self.phone.heard())


@pytest.fixture
async def secure(pair):
    """Make the first of two joined phones use SRTP; the second uses plain RTP."""
    made = Secure(pair[0])
    made.configure()
    return made


@pytest.fixture
def kept(relay):
    """The packets that the taps of both legs receive."""
    given = []
    for track, leg_id in enumerate("ab"):
        relay.set_tap(leg_id, track, lambda *what: given.append(copied(what)))
    return given


@pytest.fixture
def stranger():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.2", 0))
        yield made


async def test_srtp_of_one_leg_is_decrypted_for_the_other_leg_and_the_tap(pair, secure, kept, rtp):
    _, b = pair
    secure.send(rtp(0, 1))
    assert await b.heard() == rtp(0, 1)
    b.send(rtp(0, 2))
    raw = await secure.phone.heard()
    assert raw[12:172] != rtp(0, 2)[12:]
    assert secure.end.unprotect(raw) == rtp(0, 2)
    assert [(track, data) for track, data, _, _ in kept] == [(0, rtp(0, 1)), (1, rtp(0, 2))]


@pytest.mark.parametrize("suite", list(Suite))
async def test_both_legs_may_use_srtp_with_different_keys_and_suites(pair, rtp, suite):
    a, b = Secure(pair[0], suite), Secure(pair[1], Suite.AEAD_AES_128_GCM)
    a.configure()
    b.configure()
    a.send(rtp(0, 1))
    assert await b.heard() == rtp(0, 1)
    b.send(rtp(0, 2))
    assert await a.heard() == rtp(0, 2)


async def test_events_in_srtp_are_recognised_after_decryption(pair, secure, relay, kept, rtp):
    _, b = pair
    seen = []
    relay.join("a", "b", {0: 0, 101: 96}, {0: 0, 96: 101})
    relay.watch_events("a", lambda data, *_: seen.append(data))
    secure.send(rtp(101, 1))
    assert await b.heard() == rtp(96, 1)
    assert seen == [rtp(101, 1)]
    assert [(data, withheld) for _, data, _, withheld in kept] == [(rtp(101, 1)[:12], True)]


async def test_plain_forged_and_replayed_packets_are_neither_forwarded_nor_recorded(
    pair, secure, kept, rtp, until
):
    a, b = pair
    sealed = secure.end.protect(rtp(0, 1))
    a.send(rtp(0, 1))
    a.send(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    await until(lambda: a.counters.refused == 2)
    a.send(sealed)
    assert await b.heard() == rtp(0, 1)
    a.send(sealed)
    await until(lambda: a.counters.refused == 3)
    assert (a.counters.received, len(kept)) == (1, 1)


async def test_many_unauthentic_packets_are_reported_once(pair, secure, told, rtp, until):
    a, _ = pair
    for sequence in range(30):
        a.send(rtp(0, sequence))
    await until(lambda: a.counters.refused == 30)
    assert told == [("refused", "a", "127.0.0.1", a.rtp.getsockname()[1])]


async def test_a_strangers_packet_is_refused_before_decryption(pair, secure, stranger, rtp, until):
    a, b = pair
    sealed = secure.end.protect(rtp(0, 1))
    a.send(sealed, stranger)
    await until(lambda: a.counters.refused == 1)
    assert a.leg_id == "a"
    a.send(sealed)  # it would count as a replay if the first copy had been decrypted
    assert await b.heard() == rtp(0, 1)


async def test_the_latch_rule_keeps_the_sender_of_the_first_authentic_packet(
    pair, secure, stranger, rtp, until
):
    a, b = pair
    a.relay.set_source_rule("a", SourceRule.LATCH)
    a.send(rtp(0, 1), stranger)
    await until(lambda: a.counters.refused == 1)
    secure.send(rtp(0, 1))
    assert await b.heard() == rtp(0, 1)
    a.send(rtp(0, 2), stranger)
    await until(lambda: a.counters.refused == 2)
    b.send(rtp(0, 3))
    assert await secure.heard() == rtp(0, 3)


async def test_the_latch_rule_ignores_unauthentic_packets_during_a_hold(
    pair, secure, stranger, rtp, until
):
    a, b = pair
    a.relay.set_source_rule("a", SourceRule.LATCH)
    secure.configure(send=False)
    a.send(rtp(0, 1), stranger)
    await until(lambda: a.counters.refused == 1)
    secure.send(rtp(0, 1))
    await until(lambda: a.counters.unwanted == 1)
    secure.configure()
    secure.send(rtp(0, 2))
    assert await b.heard() == rtp(0, 2)


async def test_the_srtp_rollover_counter_is_kept_across_hold_and_new_sdp(pair, secure, rtp, until):
    a, b = pair
    for sequence in range(65_500, 65_600):
        secure.send(rtp(0, sequence & 0xFFFF))
        await b.heard()
        b.send(rtp(0, sequence & 0xFFFF))
        await secure.heard()
    secure.configure(send=False, receive=False)
    secure.send(rtp(0, 70))
    await until(lambda: a.counters.unwanted == 1)
    secure.configure()
    secure.send(rtp(0, 71))
    assert await b.heard() == rtp(0, 71)
    b.send(rtp(0, 71))
    assert await secure.heard() == rtp(0, 71)


async def test_a_source_whose_sequence_jumped_far_is_forwarded_again_after_a_few_packets(
    pair, secure, rtp, until
):
    _, b = pair
    b.send(rtp(0, 40_000))
    await secure.heard()
    for sequence in range(4):
        b.send(rtp(0, 20_000 + sequence))
    await until(lambda: b.counters.unsent == 4)
    b.send(rtp(0, 20_004))
    assert (await secure.heard())[12:] == rtp(0, 20_004)[12:]


async def test_a_new_key_applies_from_the_first_packet_that_uses_it(pair, secure, rtp):
    _, b = pair
    old = secure.end.protect(rtp(0, 1))
    secure.send(rtp(0, 0))
    await b.heard()
    ends = secure.end
    secure.change_key()
    secure.configure()
    secure.phone.send(old)
    assert await b.heard() == rtp(0, 1)
    fresh = Protection(KeyPair(secure.keys.theirs, secure.keys.ours))
    secure.phone.send(fresh.protect(rtp(0, 2)))
    assert await b.heard() == rtp(0, 2)
    b.send(rtp(0, 3))
    assert ends.unprotect(await secure.phone.heard()) == rtp(0, 3)


async def test_a_leg_that_returns_to_srtp_still_refuses_replayed_packets(pair, secure, rtp):
    a, b = pair
    first = secure.end.protect(rtp(0, 1))
    a.send(first)
    await b.heard()
    a.configure()
    a.send(rtp(0, 2))
    assert await b.heard() == rtp(0, 2)
    b.send(rtp(0, 2))
    assert await a.heard() == rtp(0, 2)
    secure.configure()
    a.send(first)  # still a replay, so it is refused
    secure.send(rtp(0, 3))
    assert await b.heard() == rtp(0, 3)


async def test_rtcp_is_decrypted_and_encrypted_at_the_srtp_leg(pair, secure, relay):
    a, b = pair
    reports = []
    relay.set_tap("a", 0, None, on_report=lambda _track, data, _at: reports.append(bytes(data)))
    a.send_control(secure.end.protect_control(REPORT))
    assert await b.heard(b.rtcp) == REPORT
    assert reports == [REPORT]
    b.send_control(REPORT)
    assert secure.end.unprotect_control(await a.heard(a.rtcp)) == REPORT


async def test_plain_rtcp_on_an_srtp_leg_is_refused(pair, secure, until):
    a, _ = pair
    a.send_control(REPORT)
    a.send(REPORT)
    await until(lambda: a.counters.refused == 2)
    assert a.counters.rtcp == 0


@pytest.mark.parametrize("held", [False, True])
async def test_srtcp_shares_the_rtp_port_of_a_leg_with_rtcp_mux(pair, secure, held):
    a, b = pair
    port = a.rtp.getsockname()[1]
    secure.configure(rtcp_mux=True, rtcp_port=port, send=not held)
    a.send(secure.end.protect_control(REPORT))
    assert await b.heard(b.rtcp) == REPORT
    b.send_control(REPORT)
    assert secure.end.unprotect_control(await a.heard()) == REPORT


async def test_plain_rtcp_shares_the_rtp_port_of_a_leg_with_rtcp_mux(pair):
    a, b = pair
    a.configure(rtcp_mux=True, rtcp_port=a.rtp.getsockname()[1])
    b.send_control(REPORT)
    assert await a.heard() == REPORT
    a.send(REPORT)
    assert await b.heard(b.rtcp) == REPORT


async def test_a_peer_that_reopens_its_port_gets_only_srtp(pair, secure, rtp, until):
    a, b = pair
    port = a.rtp.getsockname()[1]
    a.rtp.close()
    for sequence in range(4):
        b.send(rtp(0, sequence))
    await until(lambda: b.counters.received == 4)
    a.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    a.rtp.bind(("127.0.0.1", port))
    a.rtp.setblocking(False)
    for sequence in range(4, 8):
        b.send(rtp(0, sequence))
    heard = [await secure.heard() for _ in range(4)]
    assert heard == [rtp(0, sequence) for sequence in range(4, 8)]


async def test_ringback_on_an_srtp_leg_is_encrypted_and_ends_with_an_rtcp_bye(pair, secure, relay):
    a, _ = pair
    relay.start_ringback("a")
    first = RtpPacket.parse(await secure.heard())
    report, names = parse_compound(secure.end.unprotect_control(await a.heard(a.rtcp)))
    relay.stop_ringback("a")
    last = parse_compound(secure.end.unprotect_control(await a.heard(a.rtcp)))
    assert {first.ssrc} == {each.ssrc for each in (report, names, *last)}
    assert [report.type, last[-1].type] == [SENDER_REPORT, BYE]


async def test_comfort_noise_is_forwarded_and_recorded(pair, secure, kept, rtp):
    _, b = pair
    secure.send(rtp(13, 1))
    assert await b.heard() == rtp(13, 1)
    assert [data for _, data, _, _ in kept] == [rtp(13, 1)]


async def test_the_reprs_of_a_leg_and_its_keys_contain_no_key(secure, relay):
    shown = repr(relay._legs["a"]) + repr(secure.keys)
    for key in (secure.keys.ours, secure.keys.theirs):
        assert repr(key.material)[2:-1] not in shown
        assert key.material.hex() not in shown


async def test_a_leg_reopened_after_a_restart_sends_with_a_new_ssrc(pair, secure, relay, rtp):
    a, b = pair
    relay.close("a")
    a.local = relay.reopen("a", a.local)
    secure.configure()
    relay.join("a", "b", {0: 0}, {0: 0})
    b.send(rtp(0, 1))
    heard = await secure.heard()
    assert heard[8:12] != rtp(0, 1)[8:12]
    assert (heard[:8], heard[12:]) == (rtp(0, 1)[:8], rtp(0, 1)[12:])


async def test_srtp_works_over_ipv6(phone, relay, rtp, ports):
    relay._pools = {True: PortPool("::1", *ports.pair)}
    a, b = Secure(phone("a", "::1"), Suite.AEAD_AES_128_GCM), phone("b", "::1")
    a.configure()
    b.configure()
    relay.join("a", "b", {0: 0}, {0: 0})
    a.send(rtp(0, 1))
    assert await b.heard() == rtp(0, 1)
    b.send(rtp(0, 2))
    assert await a.heard() == rtp(0, 2)


@pytest.mark.parametrize("rule", list(SourceRule))
async def test_random_packets_do_not_stop_an_srtp_leg(pair, secure, rtp, until, rule):
    a, b = pair
    a.relay.set_source_rule("a", rule)
    noise = random.Random(7)
    for _ in range(300):
        data = bytearray(noise.randbytes(noise.randrange(1, 300)))
        data[0] = noise.choice([0x80, 0x90, 0xA0, 0x8F, data[0]])
        a.send(bytes(data), noise.choice([a.rtp, a.rtcp]))
        a.send_control(bytes(data))
    counters = a.counters
    await until(lambda: counters.refused + counters.malformed == 600)
    secure.send(rtp(0, 1))
    assert await b.heard() == rtp(0, 1)
    assert (counters.received, counters.rtcp) == (1, 0)
