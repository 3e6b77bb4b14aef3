"""Requests within an answered call.

Covers `telephony/b2bua/leg.py` and `telephony/b2bua/offers.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from helpers.core_counts import counts
from telephony.b2bua.events import (
    CallEnded,
    CallHeld,
    CallResumed,
    IdentityChanged,
    InfoReceived,
    MediaNegotiated,
    RecordRequested,
)
from telephony.b2bua.settings import Grants
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri

RECORD_OFF = (("Record", "off"),)
DTMF = (("Content-Type", "application/dtmf-relay"),)


def directions(session):
    return session.direction(session.audio_index())


def test_hold_and_its_end_are_passed_to_the_other_leg_and_answered(world):
    call = world.talk()
    a, b = call.joined
    world.b.reinvite(direction="sendonly")
    assert directions(world.a.told()) == "sendonly"
    assert directions(world.b.told()) == "recvonly"
    assert world.switch.of(CallHeld)[0].leg_id == b
    assert not world.switch.plane.remotes[b].receive
    world.b.reinvite()
    assert directions(world.a.told()) == "sendrecv"
    assert world.switch.of(CallResumed)[0].leg_id == b
    assert world.switch.plane.joins == {a: b, b: a}
    world.a.hang_up()
    world.assert_clean()


def test_an_offer_with_the_null_address_counts_as_hold(world):
    world.talk()
    body = world.a.sdp(version=2).replace(b"c=IN IP4 192.0.2.10", b"c=IN IP4 0.0.0.0")
    world.a.ask("INVITE", (("Content-Type", "application/sdp"),), body)
    assert directions(world.b.told()) == "sendonly"
    assert len(world.switch.of(CallHeld)) == 1
    world.a.hang_up()
    world.assert_clean()


def test_a_codec_change_is_passed_on_with_its_payload_types_mapped(world):
    world.talk()
    a, b = world.call.joined
    world.a.reinvite(codecs=("101 telephone-event/8000", "8 PCMA/8000"))
    assert world.b.told().media[0].formats == ("101", "8")
    assert world.switch.plane.maps[a, b][8] == 8
    world.a.hang_up()


def test_a_new_media_port_is_used_without_a_re_invite_to_the_other_leg(world):
    world.talk()
    a, b = world.call.joined
    world.a.reinvite(port=4800)
    assert world.switch.plane.remotes[a].rtp_port == 4800
    assert world.switch.plane.joins == {a: b, b: a}
    assert (world.a.statuses[-1], world.b.methods) == (200, [])
    assert world.a.told().media[0].formats == ("0", "8")
    world.a.hang_up()
    world.assert_clean()


def test_a_peer_that_changes_its_media_port_on_hold_stays_held(world):
    world.talk()
    world.b.reinvite(direction="sendonly")
    world.a.reinvite(port=4800, direction="recvonly")
    assert directions(world.a.told()) == "sendonly"
    assert world.b.methods == []
    world.b.reinvite()
    assert directions(world.a.told()) == "sendrecv"
    world.a.hang_up()
    world.assert_clean()


def test_a_changed_packet_time_is_passed_to_the_other_leg(world):
    world.talk()
    body = world.a.sdp(version=2).replace(b"a=sendrecv", b"a=ptime:40\r\na=sendrecv")
    world.a.ask("INVITE", (("Content-Type", "application/sdp"),), body)
    assert world.b.told().media[0].attribute("ptime") == "40"
    world.a.hang_up()


def test_a_new_payload_type_for_events_keeps_the_type_on_the_other_leg(world):
    for phone in (world.a, world.b):
        phone.codecs = ("0 PCMU/8000", "101 telephone-event/8000")
    world.talk()
    a, b = world.call.joined
    world.a.codecs = ("0 PCMU/8000", "96 telephone-event/8000")
    world.a.reinvite()
    assert world.switch.plane.maps[a, b][96] == 101
    assert world.switch.plane.maps[b, a][101] == 96
    assert world.a.told().media[0].formats == ("0", "96")
    rows = [event.payloads for event in world.switch.of(MediaNegotiated) if event.leg_id == a]
    assert {row[0] for row in rows[-1] if row[1] == "telephone-event"} == {96}
    world.a.hang_up()
    world.assert_clean()


def test_a_re_invite_from_voice_to_fax_gets_488_and_the_call_continues(world):
    world.talk()
    a, b = world.call.joined
    fax = b"m=audio 0 RTP/AVP 0\r\nm=image 4900 udptl t38\r\n"
    body = world.b.sdp(version=2).partition(b"m=audio")[0] + fax
    world.b.ask("INVITE", (("Content-Type", "application/sdp"),), body)
    assert (world.b.statuses[-1], world.a.methods) == (488, [])
    assert world.switch.plane.joins == {a: b, b: a}
    assert world.switch.plane.remotes[b].rtp_port == 4000
    world.a.hang_up()
    world.assert_clean()


def test_added_video_is_rejected_in_the_answer_and_not_passed_to_the_other_leg(world):
    world.talk()
    body = world.a.sdp(version=2) + b"m=video 4900 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n"
    world.a.ask("INVITE", (("Content-Type", "application/sdp"),), body)
    assert [(m.kind, m.port > 0) for m in world.a.told().media] == [
        ("audio", True),
        ("video", False),
    ]
    assert world.b.methods == []
    world.a.hang_up()
    world.assert_clean()


def test_our_sdp_version_grows_only_if_our_sdp_changes(world):
    world.talk()
    first = world.a.told().origin.split()
    world.b.ask("INVITE", (("Content-Type", "application/sdp"),), world.b.sdp())
    assert world.a.methods == []
    world.b.reinvite(direction="sendonly")
    second = world.a.told().origin.split()
    assert (second[1], int(second[2])) == (first[1], int(first[2]) + 1)


def test_an_unchanged_re_invite_is_answered_without_reaching_the_other_leg(world):
    world.talk()
    before = world.b.told()
    world.b.ask("INVITE", (("Content-Type", "application/sdp"),), world.b.sdp(version=5))
    assert world.b.statuses[-1] == 200
    assert world.a.methods == []
    assert world.b.told() == before


def test_a_refused_hold_is_reported_to_its_sender_and_changes_nothing(world):
    world.talk()
    before = dict(world.switch.plane.remotes)
    world.a.refuse_offer = 488
    world.b.reinvite(direction="sendonly")
    assert world.b.statuses[-1] == 488
    assert world.switch.plane.remotes == before
    assert world.switch.of(CallHeld) == []
    world.a.hang_up()
    world.assert_clean()


def test_simultaneous_re_invites_give_491_to_one_peer(world):
    world.talk()
    for phone in (world.a, world.b):
        phone.version += 1
        body = phone.sdp(direction="sendonly")
        phone.dialog.request(
            "INVITE",
            headers=(("Content-Type", "application/sdp"),),
            body=body,
            now=world.clock.now,
        )
    world.net.flush()
    world.net.run(2)
    assert sorted([world.a.statuses[-1], world.b.statuses[-1]])[1] == 491
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_re_invite_without_sdp_is_passed_to_the_other_leg(world):
    world.talk()
    world.a.ask("INVITE")
    assert world.b.requests[-1].body == b""
    assert b"m=audio" in world.a.responses[-1].body
    assert world.switch.plane.joins
    world.b.reinvite(direction="sendonly")
    assert world.b.statuses[-1] == 200
    world.a.hang_up()
    world.assert_clean()


def test_an_update_is_passed_as_update_to_a_peer_that_allows_it(world):
    world.talk()
    world.a.version += 1
    world.a.ask("UPDATE", (("Content-Type", "application/sdp"),), world.a.sdp(direction="inactive"))
    assert world.b.methods == ["UPDATE"]
    assert world.a.statuses[-1] == 200
    assert world.a.responses[-1].body
    world.a.hang_up()


def test_an_update_is_passed_as_re_invite_to_a_peer_that_does_not_allow_it(world):
    world.b.reply = Reply(headers=(("Allow", "INVITE, ACK, BYE, CANCEL"),))
    world.talk()
    world.a.version += 1
    world.a.ask("UPDATE", (("Content-Type", "application/sdp"),), world.a.sdp(direction="inactive"))
    assert world.b.methods == ["INVITE"]
    assert world.a.statuses[-1] == 200


def test_a_cancelled_re_invite_is_cancelled_on_the_other_leg(world):
    world.talk()
    held = []
    serve = world.b.serve
    world.b.serve = lambda d, t, r: held.append(t) if r.method == "INVITE" else serve(d, t, r)
    client = world.a.reinvite(direction="sendonly")
    held[0].respond(180, now=world.clock.now)
    world.net.run(0.3)
    client.cancel(now=world.clock.now)
    world.net.flush()
    assert held[0].cancelled
    assert world.a.statuses[-1] == 487
    world.b.serve = serve
    world.a.reinvite(direction="sendonly")
    assert world.a.statuses[-1] == 200
    world.a.hang_up()
    world.assert_clean()


def test_an_unanswered_re_invite_gets_504_and_the_call_continues(world):
    world.talk()
    held = []

    def keep_waiting(_dialog, transaction, _request):
        transaction.respond(180, now=world.clock.now)
        held.append(transaction)

    world.b.serve = keep_waiting
    world.a.reinvite(direction="sendonly")
    world.net.run(40)
    assert world.a.statuses[-1] == 504
    assert held[0].cancelled
    assert world.call.joined is not None


def test_info_message_and_notify_are_passed_on_with_their_bodies():
    world = World(trust_caller=True, caller_grants=Grants(messages=True))
    world.switch.plan.targets = [world.target(world.b, trust=True, is_phone=True)]
    world.talk()
    text = (("Content-Type", "text/plain;charset=UTF-8;x=y"),)
    state = (("Event", "dialog;id=7"), ("Subscription-State", "active"))
    told = (("Content-Type", "application/dialog-info+xml"), *state)
    for method, headers in (("INFO", DTMF), ("MESSAGE", text), ("NOTIFY", told)):
        world.a.ask(method, headers, b"Signal=5")
        assert world.b.requests[-1].method == method
        assert world.b.requests[-1].body == b"Signal=5"
        assert world.b.requests[-1].content_type == dict(headers)["Content-Type"].partition(";")[0]
        assert world.a.statuses[-1] == 200
    assert world.b.requests[1].headers.get("Content-Type") == "text/plain;charset=UTF-8"
    for name, value in state:
        assert world.b.requests[-1].headers.get(name) == value
    assert [event.side for event in world.switch.of(InfoReceived)] == ["caller"]


def test_a_refused_request_gets_its_status_and_is_neither_passed_on_nor_reported(world):
    world.talk()
    world.a.ask("INFO", (("Content-Type", "text/html"),), b"<b>")
    world.a.ask("MESSAGE", (("Content-Type", "text/plain"),), b"hello")
    world.a.ask("NOTIFY", (("Event", "check-sync"), ("Subscription-State", "active")))
    assert world.a.statuses[-3:] == [415, 403, 489]
    assert world.b.methods == []
    assert world.switch.of(InfoReceived) == []


def test_the_body_of_a_response_is_not_passed_on(world):
    world.talk()

    def serve(_dialog, transaction, _request):
        transaction.respond(
            200, headers=(("Content-Type", "text/html"),), body=b"<b>", now=world.clock.now
        )

    world.b.serve = serve
    world.a.ask("INFO", DTMF, b"1")
    assert (world.a.statuses[-1], world.a.responses[-1].body) == (200, b"")
    assert world.a.responses[-1].headers.get("Content-Type") is None


def test_requests_are_passed_on_one_at_a_time_and_in_order(world):
    world.talk()
    held = []
    serve = world.b.serve
    world.b.serve = lambda d, t, r: held.append((t, r)) if r.method == "INFO" else serve(d, t, r)
    for digit in (b"1", b"2", b"3"):
        world.a.ask("INFO", DTMF, digit)
    assert [request.body for _, request in held] == [b"1"]
    for number in range(3):
        held[number][0].respond(200, now=world.clock.now)
        world.net.flush()
    assert [request.body for _, request in held] == [b"1", b"2", b"3"]


def test_a_bye_overtakes_requests_that_wait(world):
    world.talk()
    serve = world.b.serve
    world.b.serve = lambda d, t, r: None if r.method == "INFO" else serve(d, t, r)
    world.a.ask("INFO", DTMF, b"1")
    world.a.ask("INFO", DTMF, b"2")
    world.a.hang_up()
    assert world.b.methods == ["INFO", "BYE"]
    world.assert_clean()


def test_the_failure_of_an_info_reaches_its_sender(world):
    world.talk()
    world.b.infos["INFO"] = 415
    world.a.ask("INFO", DTMF, b"1")
    assert world.a.statuses[-1] == 415
    assert world.call.joined is not None


def test_an_advisors_record_key_is_answered_by_the_owner_and_not_passed_on(world):
    call = world.talk()
    world.switch.plan.record_status = None
    world.b.ask("INFO", RECORD_OFF, b"Signal=1")
    (asked,) = world.switch.of(RecordRequested)
    assert (asked.leg_id, asked.value) == (call.joined[1], "off")
    assert 500 not in world.b.statuses
    before = len(world.b.statuses)
    for status in (500, 200):
        world.switch.act(
            lambda call, status=status: call.answer_record(
                asked.request_id, status, world.clock.now, "Not On Disk"
            )
        )
    assert [(r.status, r.reason) for r in world.b.responses[before:]] == [(500, "Not On Disk")]
    assert world.a.methods == []
    assert world.switch.of(InfoReceived) == []


def test_a_retransmitted_record_key_is_reported_once(world):
    world.talk()
    world.switch.plan.record_status = None
    world.b.ask("INFO", RECORD_OFF)
    world.net.run(3)
    (asked,) = world.switch.of(RecordRequested)
    world.switch.act(lambda call: call.answer_record(asked.request_id, 200, world.clock.now))
    assert world.b.statuses[-1] == 200


def test_a_callers_record_key_gets_200_and_is_neither_reported_nor_passed_on(world):
    world.talk()
    world.a.ask("INFO", RECORD_OFF)
    assert world.a.statuses[-1] == 200
    assert world.b.methods == []
    assert world.switch.of(RecordRequested) == world.switch.of(InfoReceived) == []


def test_several_record_headers_are_reported_as_one_value(world):
    world.talk()
    world.b.ask("INFO", (("Record", "off"), ("record", "on")))
    assert world.switch.of(RecordRequested)[0].value == "off, on"


def test_a_record_key_before_the_answer_gets_480(world):
    world.b.reply = Reply(provisional=(), final=None)
    world.a.call()
    world.b.dialog = world.b.invites[0].respond(180, now=world.clock.now)
    world.b.ask("INFO", RECORD_OFF)
    assert world.b.statuses[-1] == 480
    assert world.switch.of(RecordRequested) == []


def test_a_record_key_on_hold_is_reported_to_the_owner(world):
    world.talk()
    world.b.reinvite(direction="sendonly")
    world.b.ask("INFO", RECORD_OFF)
    assert [event.value for event in world.switch.of(RecordRequested)] == ["off"]


def test_the_owner_may_answer_a_record_key_after_the_call_ended(world):
    world.talk()
    world.switch.plan.record_status = None
    world.b.ask("INFO", RECORD_OFF)
    (asked,) = world.switch.of(RecordRequested)
    world.a.hang_up()
    world.switch.act(lambda call: call.answer_record(asked.request_id, 200, world.clock.now))
    world.assert_clean()


def test_a_record_header_outside_an_info_is_ignored_and_not_passed_on(world):
    world.b.reply = Reply(headers=RECORD_OFF)
    world.talk()
    world.b.ask("INVITE", (*RECORD_OFF, ("Content-Type", "application/sdp")), world.b.sdp(port=5))
    world.b.hang_up(RECORD_OFF)
    assert world.switch.of(RecordRequested) == []
    assert "BYE" in world.a.methods
    assert [m for m in world.a.seen if m.headers.get("Record")] == []


def test_options_in_a_call_are_answered_without_reaching_the_other_leg(world):
    world.talk()
    world.b.ask("OPTIONS")
    assert world.b.statuses[-1] == 200
    assert world.b.responses[-1].headers.get("Allow")
    assert world.a.methods == []


def test_an_update_with_the_advisors_name_is_reported_and_not_passed_on(world):
    world.talk()
    before = len(world.switch.of(IdentityChanged))
    world.b.ask("UPDATE", (("P-Asserted-Identity", "<sip:202@pbx.example>"),))
    assert world.b.statuses[-1] == 200
    assert world.a.methods == []
    told = world.switch.of(IdentityChanged)[before:]
    assert [event.identity.uri.user for event in told] == ["202"]


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ('SIP;cause=200;text="Call completed elsewhere"', "answered-elsewhere"),
        ("Q.850 ; text=x ; cause = 26", "answered-elsewhere"),
        ("Q.850;cause=16, sip;cause=200", "answered-elsewhere"),
        ("Q.850;cause=16", "caller-hung-up"),
        ("SIP;cause=2001", "caller-hung-up"),
        ("Q.850;cause=200", "caller-hung-up"),
    ],
)
def test_a_bye_of_the_caller_can_say_that_another_party_has_answered(world, reason, cause):
    world.talk()
    world.a.hang_up((("Reason", reason),))
    assert world.switch.of(CallEnded)[0].cause == cause


def test_a_481_to_our_bye_ends_the_call_cleanly(world):
    world.talk()
    world.b.dialog.drop("crashed")
    world.a.hang_up()
    assert world.call.ended
    world.assert_clean()


def test_a_481_to_a_request_in_the_call_ends_the_call(world):
    world.talk()
    world.b.dialog.drop("crashed")
    world.a.ask("INFO", DTMF, b"1")
    assert world.a.statuses[-1] == 481
    assert world.switch.of(CallEnded)[0].cause == "peer-gone"
    world.assert_clean()


def test_the_owners_hang_up_ends_both_legs(world):
    world.talk()
    world.switch.act(lambda call: call.hangup(world.clock.now, 'SIP;cause=200;text="bye"'))
    assert world.a.methods == world.b.methods == ["BYE"]
    assert world.b.requests[-1].headers.get("Reason") == 'SIP;cause=200;text="bye"'
    world.switch.act(lambda call: call.hangup(world.clock.now))
    world.assert_clean()


def test_a_call_that_the_owner_rejects_stops_ringing_with_the_owners_status(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    world.switch.act(lambda call: call.reject(603, world.clock.now))
    assert world.a.statuses[-1] == 603
    assert world.b.invites[0].cancelled
    world.assert_clean()


def test_payload_types_are_mapped_per_leg_and_direction(world):
    world.a.codecs = ("0 PCMU/8000", "101 telephone-event/8000")
    world.b.codecs = ("0 PCMU/8000", "96 telephone-event/8000")
    a, b = world.talk().joined
    assert world.switch.plane.maps[a, b] == {0: 0, 101: 96}
    assert world.switch.plane.maps[b, a][96] == world.switch.plane.maps[b, a][101] == 101
    assert world.a.told().media[0].formats == ("0", "101")


def test_a_bye_instead_of_an_answer_to_a_hold_leaves_no_transaction(world):
    world.talk()
    world.b.serve = lambda _d, t, r: t.respond(
        180 if r.method == "INVITE" else 200, now=world.clock.now
    )
    world.a.reinvite(direction="sendonly")
    world.net.lost = lambda data: data.startswith(b"SIP/2.0 487")
    world.b.hang_up()
    world.net.run(100)
    assert counts(world.switch.endpoint).client_transactions == 0
    world.net.lost = lambda _data: False
    world.assert_clean()


def test_responses_and_requests_to_a_caller_behind_proxies_follow_its_record_route(world):
    first, second = "<sip:192.0.2.10;lr;n=1>", "<sip:192.0.2.1;lr;n=2>"
    world.talk(headers=(("Record-Route", first), ("Record-Route", second)))
    answer = world.a.responses[-1]
    assert answer.headers.get_all("Record-Route") == [first, second]
    world.b.hang_up()
    bye = next(d for f, _, d in world.net.wire if f == world.switch.address and d[:3] == b"BYE")
    assert parse_message(bye).headers.get_all("Route") == [first, second]
    assert world.b.invites[0].request.headers.get("Record-Route") is None


def test_requests_go_to_the_peers_latest_contact(world):
    world.talk()
    moved = "<sip:caller@192.0.2.10:5060;line=2>"
    world.a.ask("UPDATE", headers=(("Contact", moved),))
    world.b.hang_up()
    assert world.a.requests[-1].uri == Uri.parse(moved.strip("<>"))


def test_requests_to_a_phone_go_where_our_invite_went_and_not_to_its_contact(world):
    world.switch.plan.targets = [world.target(world.b, is_phone=True)]
    world.b.reply.headers = (("Contact", "<sip:20@10.0.0.1:5999>"),)
    world.talk()
    world.a.hang_up()
    assert world.b.methods == ["BYE"]


def test_a_request_beyond_the_queue_limit_gets_503(world):
    world.talk()
    world.b.infos["INFO"] = None
    for _ in range(70):
        world.a.ask("INFO", DTMF, b"1")
    assert world.a.statuses[-1] == 503
    world.a.hang_up()
    world.assert_clean()


def test_a_notify_for_an_unknown_subscription_gets_481(world):
    world.talk()
    world.a.ask("NOTIFY", (("Event", "refer;id=1"), ("Subscription-State", "active")))
    assert world.a.statuses[-1] == 481
    assert world.b.methods == []
