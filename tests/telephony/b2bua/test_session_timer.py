"""Session timers (RFC 4028) on each leg, and checkpoints.

Covers `telephony/b2bua/refresh.py` and `telephony/b2bua/settings.py`.
"""

import json
import random

import pytest

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from telephony.b2bua import SessionInterval, bye_from_checkpoint
from telephony.b2bua.events import CallEnded
from telephony.b2bua.session_timer import request_fields
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address

TIMER = ("Supported", "timer")


def test_we_request_a_session_timer_and_refresh_a_peer_that_does_not_mention_it():
    world = World(session=SessionInterval(90))
    world.talk()
    assert world.b.invites[0].request.headers.get("Session-Expires") == "90"
    assert world.a.responses[-1].headers.get("Session-Expires") == "90;refresher=uas"
    world.net.run(50)
    assert world.b.methods == ["UPDATE"]
    assert world.a.methods == ["UPDATE"]
    world.net.run(300)
    assert not world.call.ended


def test_a_peer_that_does_not_allow_update_is_refreshed_by_an_unchanged_re_invite():
    world = World(session=SessionInterval(90))
    world.b.reply = Reply(headers=(("Allow", "INVITE, ACK, BYE"),))
    world.talk()
    before = world.b.told()
    world.net.run(50)
    assert world.b.methods == ["INVITE"]
    assert world.b.told() == before
    assert "INVITE" not in world.a.methods


def test_a_session_interval_that_is_too_short_gets_422_with_min_se(world):
    world.a.call(headers=(TIMER, ("Session-Expires", "60")))
    assert world.a.statuses[-1] == 422
    assert world.a.responses[-1].headers.get("Min-SE") == "90"
    world.assert_clean()


@pytest.mark.parametrize(("asked", "told"), [("60", 90), ("120", 120), ("300", 300), ("9999", 600)])
def test_a_proxys_session_interval_is_limited_to_between_90_s_and_our_interval(asked, told):
    world = World(session=SessionInterval(600, 300))
    world.talk(headers=(("Supported", "100rel"), ("Session-Expires", asked)))
    answer = world.a.responses[-1].headers
    assert answer.get("Session-Expires") == f"{told};refresher=uas"
    assert answer.get("Require") is None


def test_min_se_for_a_peer_without_timers_is_respected():
    world = World(session=SessionInterval(600))
    world.talk(headers=(("Supported", ""), ("Session-Expires", "200"), ("Min-SE", "400")))
    assert world.a.responses[-1].headers.get("Session-Expires") == "400;refresher=uas"


def test_after_a_422_from_the_callee_the_invite_is_repeated_with_the_min_se_of_the_422(monkeypatch):
    world = World(session=SessionInterval(90))
    served = []

    def answer(invite=None, reply=None):
        served.append(invite)
        if len(served) == 1:
            invite.respond(422, headers=(("Min-SE", "300"),), now=world.clock.now)
        else:
            type(world.b).answer(world.b, invite)

    monkeypatch.setattr(world.b, "answer", answer)
    world.talk()
    second = world.b.invites[1].request.headers
    assert (second.get("Session-Expires"), second.get("Min-SE")) == ("300", "300")
    assert world.a.statuses.count(422) == 0


def test_a_caller_that_chose_to_refresh_but_stops_doing_so_ends_the_call():
    world = World(session=SessionInterval(1800))
    world.talk(headers=(TIMER, ("Session-Expires", "120;refresher=uac")))
    headers = world.a.responses[-1].headers
    assert headers.get("Session-Expires") == "120;refresher=uac"
    assert headers.get("Require") == "timer"
    world.net.run(60)
    world.a.ask("UPDATE", (TIMER, ("Session-Expires", "120;refresher=uac")))
    world.net.run(60)
    assert not world.call.ended
    world.net.run(60)
    assert world.switch.of(CallEnded)[0].cause == "session-expired"
    assert world.a.methods == world.b.methods == ["BYE"]
    world.assert_clean()


def test_a_phone_that_disappears_on_hold_ends_the_call_at_the_refresh():
    world = World(session=SessionInterval(90))
    world.talk()
    world.b.reinvite(direction="sendonly")
    world.net.down.add(world.b.address)
    world.net.run(90)
    assert world.switch.of(CallEnded)[0].cause == "peer-gone"
    assert world.a.methods[-1] == "BYE"
    assert world.switch.plane.open_legs == {}


def test_a_peer_that_lost_its_dialog_ends_the_call_at_the_refresh():
    world = World(session=SessionInterval(90))
    world.talk()
    assert world.a.dialog is not None
    world.a.dialog.drop("crashed")
    world.net.run(50)
    assert world.switch.of(CallEnded)[0].cause == "peer-gone"
    world.assert_clean()


def test_a_501_to_an_update_makes_the_refresh_use_re_invite():
    world = World(session=SessionInterval(90))
    world.talk()
    world.b.infos["UPDATE"] = 501
    world.net.run(50)
    assert world.b.methods == ["UPDATE", "INVITE"]
    assert not world.call.ended


def test_a_refresh_that_fails_with_500_is_repeated():
    world = World(session=SessionInterval(90))
    world.talk()
    world.b.infos["UPDATE"] = 500
    world.net.run(50)
    del world.b.infos["UPDATE"]
    world.net.run(100)
    assert not world.call.ended


@pytest.mark.parametrize("bad", [{"least": 60}, {"wanted": 80}])
def test_settings_with_a_session_interval_below_90_s_are_refused(bad):
    with pytest.raises(ValueError, match="90"):
        SessionInterval(**bad)


def test_the_session_timer_fields_of_a_request_carry_the_peers_min_se():
    assert request_fields(None, SessionInterval(), 600)[1] == ("Min-SE", "600")


def test_both_legs_can_be_hung_up_from_a_checkpoint_after_a_restart(world):
    call = world.talk()
    data = json.loads(bytes(call.checkpoint()))
    assert [leg["side"] for leg in data["legs"]] == ["caller", "advisor"]
    after = Endpoint(rng=random.Random(99))
    after.listen(Address("192.0.2.1", 5060))
    world.switch.endpoint = after
    world.switch.calls.clear()
    assert bye_from_checkpoint(after, data, world.clock.now) == 2
    world.net.run(1)
    assert world.a.methods == world.b.methods == ["BYE"]
    assert world.a.ended == world.b.ended == 1


@pytest.mark.parametrize(
    "data", [{}, {"version": 9}, {"version": 1, "legs": [{}, {"dialog": {"version": 1}}]}]
)
def test_an_unreadable_checkpoint_sends_no_bye(world, data):
    assert bye_from_checkpoint(world.switch.endpoint, data, 0.0) == 0


def test_a_refresh_answered_without_a_common_codec_leaves_the_media_unchanged():
    world = World(session=SessionInterval(90))
    world.b.reply = Reply(headers=(("Allow", "INVITE, ACK, BYE"),))
    world.talk()
    before = world.switch.plane.remotes[world.call.joined[1]]
    world.b.codecs = ("97 AMR/8000",)
    world.net.run(50)
    assert world.b.methods == ["INVITE"]
    assert world.switch.plane.remotes[world.call.joined[1]] == before
    assert not world.call.ended
    world.a.hang_up()
    world.assert_clean()
