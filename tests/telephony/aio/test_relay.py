"""The relay: packets between two legs, taps, telephone events, RTCP, holds and ringback.

Covers `telephony/aio/media_path.py` and `telephony/aio/ringback.py`.
"""

import asyncio
import random
import socket

import pytest

from telephony.aio import relay as relay_module
from telephony.aio.media_path import connected_reader_of, reader_of
from telephony.sdp import Codec

EVENTS = Codec("telephone-event", 8000, 1, "0-15")
RECEIVER_REPORT = bytes([0x80, 201, 0, 1, 0, 0, 0, 7])


def copied(what):
    """Return what a tap was given; the relay overwrites the packet afterwards."""
    track, data, *others = what
    return (track, bytes(data), *others)


async def test_packets_are_forwarded_unchanged_in_both_directions(pair, rtp):
    a, b = pair
    data = rtp(marker=True, csrcs=(1, 2), extension=(0xBEDE, b"abcd"))
    a.send(data)
    assert await b.heard() == data
    b.send(data)
    assert await a.heard() == data
    assert (a.forwarded, b.forwarded) == (1, 1)


async def test_a_burst_and_the_packets_after_it_are_forwarded_complete_and_in_order(
    pair, rtp, until
):
    a, b = pair
    for sequence in range(200):
        a.send(rtp(0, sequence))
    heard = [await b.heard() for _ in range(200)]
    assert heard == [rtp(0, sequence) for sequence in range(200)]
    for sequence in range(200, 203):
        await until(lambda before=sequence: a.forwarded == before)
        a.send(rtp(0, sequence))
        assert await b.heard() == rtp(0, sequence)


async def test_drain_forwards_and_records_packets_that_the_loop_has_not_read_yet(pair, relay, rtp):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda _track, data, *_: kept.append(bytes(data)))
    sent = [rtp(0, sequence) for sequence in range(200)]
    for data in sent:
        a.send(data)
    relay.drain("a", "closed meanwhile")
    assert kept == sent
    assert [await b.heard() for _ in sent] == sent


async def test_packets_received_before_the_relay_closes_are_forwarded_and_recorded(
    pair, relay, rtp
):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda _track, data, *_: kept.append(bytes(data)))
    sent = [rtp(0, sequence) for sequence in range(50)]
    for data in sent:
        a.send(data)
    relay.close_all()
    assert kept == sent
    assert [await b.heard() for _ in sent] == sent


@pytest.mark.parametrize("size", [2049, 3852, 7692])
async def test_a_packet_larger_than_the_network_mtu_is_forwarded_and_recorded_whole(
    pair, relay, rtp, size
):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda _track, data, *_: kept.append(bytes(data)))
    sent = rtp()[:12] + random.Random(size).randbytes(size - 12)
    for _ in range(2):  # the unconnected socket reads the first packet
        a.send(sent)
        assert await b.heard() == sent
    assert kept == [sent, sent]


@pytest.fixture
def made(monkeypatch):
    """The names of the functions that have made readers since the test began."""
    made: list[str] = []
    for function in (reader_of, connected_reader_of):
        monkeypatch.setattr(relay_module, function.__name__, counted(function, made))
    return made


async def test_several_changes_of_a_leg_before_its_next_packet_make_one_new_reader(
    made, pair, relay, rtp
):
    a, b = pair
    a.send(rtp(0, 0))
    assert await b.heard() == rtp(0, 0)
    made.clear()
    kept = []
    for _ in range(5):
        relay.set_tap("a", 0, lambda _track, data, *_: kept.append(bytes(data)))
        relay.watch_events("a", None)
    assert made == []
    for sequence in (1, 2):
        a.send(rtp(0, sequence))
        assert await b.heard() == rtp(0, sequence)
    assert made == ["connected_reader_of"]
    assert kept == [rtp(0, 1), rtp(0, 2)]


def counted(function, calls):
    """Return the function with a note of each call."""

    def call(*args):
        calls.append(function.__name__)
        return function(*args)

    return call


async def test_an_exception_in_a_tap_does_not_stop_forwarding(pair, relay, rtp):
    a, b = pair
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: faults.append(what))

    def broken(*_what):
        raise RuntimeError("a bug in a tap")

    relay.set_tap("a", 0, broken)
    for sequence in range(200):
        a.send(rtp(0, sequence))
    heard = [await b.heard() for _ in range(200)]
    assert heard == [rtp(0, sequence) for sequence in range(200)]
    assert faults


async def test_forwarded_packets_come_from_the_port_in_our_sdp(pair, rtp):
    a, b = pair
    a.send(rtp())
    _, source = await asyncio.get_running_loop().sock_recvfrom(b.rtp, 2048)
    assert source == (b.local.host, b.local.port)


async def test_a_forwarded_packet_has_the_mapped_payload_type_and_its_marker(pair, relay, rtp):
    a, b = pair
    relay.join("a", "b", {0: 0, 101: 96}, {})
    a.send(rtp(101, marker=True))
    assert await b.heard() == rtp(96, marker=True)
    a.send(rtp(0))
    assert await b.heard() == rtp(0)


async def test_a_tap_gets_whole_audio_packets_but_only_the_headers_of_events(pair, relay, rtp):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda *what: kept.append(copied(what)))
    relay.set_tap("b", 1, lambda *what: kept.append(copied(what)))
    for data in (rtp(101), rtp(101, marker=True), rtp(0)):
        a.send(data)
        await b.heard()
    b.send(rtp(0, 9))
    await a.heard()
    assert [(track, data, withheld) for track, data, _, withheld in kept] == [
        (0, rtp(101)[:12], True),
        (0, rtp(101, marker=True)[:12], True),
        (0, rtp(0), False),
        (1, rtp(0, 9), False),
    ]
    assert a.counters.events == 2


async def test_a_late_event_whose_payload_type_was_reassigned_is_not_recorded(pair, relay, rtp):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda _track, data, _now, withheld: kept.append((bytes(data), withheld)))
    moved = {0: Codec("PCMU", 8000), 101: Codec("opus", 48_000, 2), 96: EVENTS}
    a.configure(payloads=moved, accepts=moved)
    late, audio, key = rtp(101)[:12] + b"\x05\x0a\x03\x20", rtp(101, 2), rtp(96, 3)
    for data in (late, audio, key):
        a.send(data)
        await b.heard()
    assert kept == [(late[:12], True), (audio, False), (key[:12], True)]
    assert a.counters.events == 2


async def test_a_payload_type_that_was_not_negotiated_is_forwarded_but_not_recorded(
    pair, relay, rtp
):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda *what: kept.append(copied(what)))
    a.send(rtp(99))
    assert await b.heard() == rtp(99)
    assert [(data, withheld) for _, data, _, withheld in kept] == [(rtp(99)[:12], True)]
    assert a.counters.unknown == 1


async def test_the_event_header_that_a_tap_gets_has_no_csrcs_or_extensions(pair, relay, rtp):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda *what: kept.append(copied(what)))
    plain = rtp(101)
    a.send(b"\x91" + plain[1:12] + bytes(4) + b"\xbe\xde\x00\x01spyd" + plain[12:])
    await b.heard()
    assert [data for _, data, _, _ in kept] == [plain[:12]]


async def test_the_received_counter_equals_the_tapped_packets_at_each_packet_and_event(
    pair, relay, rtp
):
    a, b = pair
    counts = []
    tapped: list[None] = []

    def tap(*_):
        tapped.append(None)
        counts.append((counters.received, len(tapped)))

    counters = relay.set_tap("a", 0, tap)
    relay.watch_events("a", lambda *_: counts.append((counters.received, len(tapped))))
    for sequence, payload_type in enumerate((0, 101, 99, 101, 0)):
        a.send(rtp(payload_type, sequence))
        await b.heard()
    assert len(counts) == 7
    assert all(received == given for received, given in counts)
    assert counters is a.counters


async def test_a_tap_of_an_unknown_leg_has_no_counters(relay):
    assert relay.set_tap("closed meanwhile", 0, None) is None


async def test_a_removed_tap_gets_no_packets(pair, relay, rtp):
    a, b = pair
    kept = []
    relay.set_tap("a", 0, lambda *what: kept.append(copied(what)))
    relay.set_tap("a", 0, None)
    a.send(rtp())
    await b.heard()
    assert kept == []


async def test_watched_events_are_also_forwarded(pair, relay, rtp):
    a, b = pair
    seen = []
    relay.watch_events("a", lambda data, *_: seen.append(data))
    a.send(rtp(101, 1))
    assert await b.heard() == rtp(101, 1)
    assert seen == [rtp(101, 1)]


async def test_a_peer_that_opens_its_port_late_gets_the_next_packet(pair, relay, rtp, until):
    a, b = pair
    port = b.rtp.getsockname()[1]
    b.rtp.close()
    a.send(rtp())
    await until(lambda: a.forwarded)
    b.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    b.rtp.setblocking(False)
    b.rtp.bind((b.host, port))
    a.send(rtp(0, 2))
    assert await b.heard() == rtp(0, 2)
    assert a.counters.unsent == 0


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x80",
        b"\x00\x01\x00\x00!\x12\xa4B" + bytes(12),
        b"\x16\xfe\xfd" + bytes(20),
        bytes(12),
    ],
    ids=["empty", "short", "stun", "dtls", "version 0"],
)
async def test_malformed_packets_are_counted_and_not_forwarded(pair, rtp, junk):
    a, b = pair
    a.send(junk)
    a.send_control(junk)
    a.send(rtp())
    assert await b.heard() == rtp()
    assert a.counters.malformed >= 1


async def test_rtcp_is_forwarded_between_the_rtcp_ports_and_only_reported_to_the_recorder(
    pair, relay
):
    a, b = pair
    kept, reports = [], []
    relay.set_tap(
        "a",
        1,
        lambda *what: kept.append(copied(what)),
        on_report=lambda track, data, _at: reports.append((track, bytes(data))),
    )
    a.send_control(RECEIVER_REPORT)
    b.send_control(RECEIVER_REPORT)
    assert await b.heard(b.rtcp) == RECEIVER_REPORT
    assert await a.heard(a.rtcp) == RECEIVER_REPORT
    assert kept == []
    assert reports == [(1, RECEIVER_REPORT)]


async def test_rtcp_received_on_the_rtp_port_is_forwarded_to_the_rtcp_port(pair, relay):
    a, b = pair
    long = bytes([0x81, 200, 0, 6]) + bytes(24)
    for data in (RECEIVER_REPORT, long):
        a.send(data)
        assert await b.heard(b.rtcp) == data
    assert a.counters.received == 0


async def test_a_peer_on_hold_gets_no_media_but_its_own_media_is_forwarded(pair, rtp, until):
    a, b = pair
    a.configure(host="0.0.0.0", receive=False)
    b.send(rtp())
    await until(lambda: b.counters.withheld == 1)
    a.configure(receive=False)
    a.send(rtp())
    assert await b.heard() == rtp()


async def test_media_from_an_inactive_peer_is_neither_forwarded_nor_recorded(
    pair, relay, rtp, until
):
    a, _ = pair
    kept = []
    relay.set_tap("a", 0, lambda *what: kept.append(copied(what)))
    a.configure(receive=False, send=False)
    a.send(rtp())
    await until(lambda: a.counters.unwanted == 1)
    assert (kept, a.counters.received) == ([], 0)


async def test_a_leg_without_a_partner_still_feeds_its_tap(pair, relay, rtp, until):
    a, _ = pair
    kept = []
    relay.set_tap("a", 0, lambda *what: kept.append(copied(what)))
    relay.close("b")
    a.send(rtp())
    await until(lambda: kept)
    assert a.counters.withheld == 1


async def test_packets_received_before_a_join_do_not_reach_the_new_partner(pair, relay, phone, rtp):
    a, b = pair
    c, kept = phone("c"), []
    c.configure()
    for sequence in range(3):
        b.send(rtp(0, sequence))
        await a.heard()
    for sequence in range(3, 50):
        b.send(rtp(0, sequence))
    relay.join("c", "b", {}, {})
    relay.set_tap("b", 1, lambda _track, data, *_: kept.append(bytes(data)))
    b.send(rtp(0, 50))
    assert await c.heard() == rtp(0, 50)
    assert kept == [rtp(0, 50)]


async def test_a_new_join_ends_the_earlier_join(pair, relay, phone, rtp, until):
    a, b = pair
    c = phone("c")
    c.configure()
    relay.join("a", "c", {0: 0}, {0: 0})
    a.send(rtp())
    assert await c.heard() == rtp()
    b.send(rtp())
    await until(lambda: b.counters.withheld == 1)


async def test_a_peer_that_closed_its_port_does_not_stop_the_other_direction(pair, rtp, until):
    a, b = pair
    b.rtp.close()
    for sequence in range(3):
        a.send(rtp(0, sequence))
    await until(lambda: a.counters.received == 3)
    for sequence in range(5):
        b.send(rtp(0, sequence), b.rtcp)
    assert await a.heard() == rtp(0, 0)


async def test_the_counters_have_the_times_of_the_first_and_last_packet(pair, rtp):
    a, b = pair
    a.send(rtp())
    await b.heard()
    first = a.counters.last
    a.send(rtp(0, 2))
    await b.heard()
    assert a.counters.first == first
    assert a.counters.last > first


async def test_silence_is_reported_once_until_media_returns(pair, relay, told, rtp):
    a, b = pair
    start = relay.silent_since("a")
    relay.sweep(start + 29)
    assert told == []
    relay.sweep(start + 31)
    relay.sweep(start + 32)
    assert [(what[0], what[1]) for what in told] == [("silence", "a"), ("silence", "b")]
    a.send(rtp())
    await b.heard()
    relay.sweep(relay.silent_since("a"))
    relay.sweep(relay.silent_since("a") + 31)
    assert [what[1] for what in told].count("a") == 2


async def test_a_leg_on_hold_or_without_a_partner_is_not_reported_as_silent(
    pair, relay, phone, told
):
    for leg in pair:
        leg.configure(receive=False)
    phone("c").configure()
    relay.sweep(relay.silent_since("c") + 100)
    assert told == []


async def test_ringback_is_one_g711_stream_of_20_ms_packets(pair, relay):
    a, _ = pair
    relay.close("b")
    relay.start_ringback("a")
    relay.start_ringback("a")
    first, second = await a.heard(), await a.heard()
    relay.stop_ringback("a")
    relay.stop_ringback("gone")
    assert (first[1], second[1]) == (0x80, 0)
    assert len(first) == 172
    assert first[12:] == second[12:]
    assert int.from_bytes(second[2:4]) == (int.from_bytes(first[2:4]) + 1) & 0xFFFF
    assert first[8:12] == second[8:12]


async def test_ringback_is_not_played_to_a_peer_without_g711(pair, relay, rtp):
    a, b = pair
    a.configure(accepts={96: Codec("opus", 48_000, 2)})
    relay.start_ringback("a")
    b.send(rtp())
    assert await a.heard() == rtp()
    relay.stop_ringback("a")


async def test_an_unproven_peer_gets_media_only_after_its_own_packet(pair, relay, rtp, until):
    a, b = pair
    relay.await_peer("a")
    for sequence in range(5):
        b.send(rtp(0, sequence))
    b.send_control(RECEIVER_REPORT)
    await until(lambda: b.counters.withheld == 5 and b.counters.rtcp == 1)
    a.send(rtp())
    await until(lambda: a.counters.received == 1)
    b.send(rtp(0, 9))
    assert await a.heard() == rtp(0, 9)
    with pytest.raises(BlockingIOError):
        a.rtcp.recv(9000)


async def test_a_confirmed_peer_gets_media_before_its_first_packet(pair, relay, rtp, until):
    a, b = pair
    relay.await_peer("a")
    b.send(rtp(0, 1))
    await until(lambda: b.counters.withheld == 1)
    relay.confirm_peer("a")
    b.send(rtp(0, 2))
    assert await a.heard() == rtp(0, 2)
