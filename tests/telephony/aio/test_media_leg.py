"""The sources from which a leg accepts media, and what happens to packets from others."""

import asyncio

from telephony.aio.relay import Relay, SourceRule

RECEIVER_REPORT = bytes([0x80, 201, 0, 1, 0, 0, 0, 7])


async def test_a_burst_of_packets_from_a_stranger_is_refused_and_reported_once(
    pair, told, rtp, stranger, until
):
    a, b = pair
    for _ in range(3):
        a.send(rtp(), stranger)
    await until(lambda: a.counters.refused == 3)
    assert told == [("refused", "a", *stranger.getsockname())]
    a.send(rtp(0, 2))
    assert await b.heard() == rtp(0, 2)


async def test_the_host_rule_accepts_media_from_any_port_of_the_sdp_host(pair, relay, rtp):
    a, b = pair
    relay.set_source_rule("a", SourceRule.SDP_HOST)
    a.send(rtp(), a.rtcp)
    assert await b.heard() == rtp()


async def test_new_sdp_moves_sent_and_accepted_media_to_its_port(pair, rtp):
    a, b = pair
    b.send(rtp())
    assert await a.heard() == rtp()
    b.configure(rtp_port=b.rtcp.getsockname()[1])
    a.send(rtp(0, 2))
    assert await b.heard(b.rtcp) == rtp(0, 2)
    b.send(rtp(0, 3), b.rtcp)
    assert await a.heard() == rtp(0, 3)


async def test_the_symmetric_rule_refuses_other_ports_once_the_sdp_port_has_sent(pair, rtp, until):
    a, b = pair
    a.send(rtp())
    assert await b.heard() == rtp()
    for sequence in range(20):
        a.send(rtp(0, sequence), a.rtcp)
    await until(lambda: a.counters.refused == 20)
    a.send(rtp(0, 2))
    assert await b.heard() == rtp(0, 2)


async def test_all_packets_of_a_phone_that_sends_from_another_port_are_forwarded(pair, rtp):
    a, b = pair
    sent = [rtp(0, sequence) for sequence in range(1, 8)]
    for data in sent:
        a.send(data, a.rtcp)
    assert [await b.heard() for _ in sent] == sent
    assert a.counters.refused == 0
    b.send(rtp(0, 1))
    assert await a.heard() == rtp(0, 1)


async def test_a_phone_behind_address_translation_is_heard_and_gets_media_at_its_source_address(
    pair, relay, rtp, stranger
):
    a, b = pair
    stranger.setblocking(False)
    relay.set_source_rule("a", SourceRule.SYMMETRIC, stranger.getsockname()[0])
    for sequence in range(1, 6):
        a.send(rtp(0, sequence), stranger)
        await asyncio.sleep(0)
    assert [await b.heard() for _ in range(5)] == [rtp(0, n) for n in range(1, 6)]
    b.send(rtp(0, 3))
    assert await a.heard(stranger) == rtp(0, 3)


async def test_the_latch_rule_prefers_the_sdps_address_to_a_stranger_that_came_first(
    pair, told, rtp, stranger, until
):
    a, b = pair
    a.relay.set_source_rule("a", SourceRule.LATCH)
    a.send(b"\x00\x01", stranger)
    for sequence in range(10):
        a.send(rtp(0, sequence), stranger)
    assert [await b.heard() for _ in range(10)] == [rtp(0, n) for n in range(10)]
    stranger.setblocking(False)
    b.send(rtp(0, 3))
    assert await a.heard(stranger) == rtp(0, 3)
    a.send(rtp(0, 2))
    assert await b.heard() == rtp(0, 2)
    assert told == [("contested", "a", "127.0.0.1", a.rtp.getsockname()[1])]
    a.send(rtp(0, 11), stranger)
    await until(lambda: a.counters.refused == 1)
    b.send(rtp(0, 4))
    assert await a.heard() == rtp(0, 4)


async def test_an_event_is_proven_only_in_the_stream_of_the_accepted_voice(pair, relay, rtp, until):
    a, b = pair
    seen: list[bool] = []
    relay.set_source_rule("a", SourceRule.SDP_HOST)
    relay.watch_events("a", lambda _data, _at, proven: seen.append(proven))
    for sequence in range(30):
        a.send(rtp(0, sequence))
        await b.heard()
    a.send(rtp(101, 31), a.rtcp)
    other_ssrc = rtp(101, 32)[:8] + b"\x01\x02\x03\x04" + rtp(101, 32)[12:]
    a.send(other_ssrc)
    a.send(rtp(101, 33))
    await until(lambda: len(seen) == 3)
    assert seen == [False, False, True]


async def test_rtcp_uses_the_separate_address_that_the_sdp_names_for_it(pair, stranger):
    a, b = pair
    host, port = stranger.getsockname()
    stranger.setblocking(False)
    a.configure(rtcp_host=host, rtcp_port=port)
    b.send_control(RECEIVER_REPORT)
    assert await a.heard(stranger) == RECEIVER_REPORT
    stranger.sendto(RECEIVER_REPORT, (a.local.host, a.local.port + 1))
    assert await b.heard(b.rtcp) == RECEIVER_REPORT


async def test_a_refusal_callback_may_close_its_leg(pool, phone, rtp, stranger, until):
    closed: list = []

    def close(leg, *_):
        relay.close(leg)
        closed.append(leg)

    relay = Relay(pool, on_refused=close)
    made = type(phone("t"))(relay, "x")
    made.configure()
    made.send(rtp(), stranger)
    made.send(rtp(), stranger)
    stranger.sendto(RECEIVER_REPORT, (made.local.host, made.local.port + 1))
    await until(lambda: closed == ["x"])
    made.close()
    relay.close_all()


async def test_packets_before_the_sdp_wait_for_it_and_are_not_reported_as_refused(
    phone, told, rtp, until
):
    early = phone("x")
    early.send_control(RECEIVER_REPORT)
    early.send(rtp())
    await asyncio.sleep(0.05)
    assert (early.counters.received, early.counters.unwanted) == (0, 0)
    early.configure()
    await until(lambda: early.counters.received == 1)
    assert early.counters.unwanted == 0
    assert told == []
