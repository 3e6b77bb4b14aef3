"""Calls whose legs are protected or not, each by its own rule (RFC 4568).

Covers `telephony/b2bua/leg_media.py`.
"""

import base64

import pytest

from helpers.b2bua.world import World
from telephony.b2bua.events import CallAnswered, CallHeld
from telephony.sdp import Srtp, Suite

KEY = b"d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
OTHER = b"NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"


def secure(phone, *, tag=3, key=KEY, profile=b"RTP/SAVP"):
    """Make the phone offer and answer only SRTP."""
    plain = type(phone).sdp.__get__(phone)
    line = b"a=crypto:%d AES_CM_128_HMAC_SHA1_80 inline:%b\r\n" % (tag, key)
    phone.sdp = lambda **changes: plain(**changes).replace(b"RTP/AVP", profile) + line


def keys(world):
    """Return the SRTP keys of the caller's leg and of the advisor's leg."""
    return tuple(world.switch.plane.remotes[leg].keys for leg in world.call.joined)


def rung(world, srtp):
    world.switch.plan.targets = [world.target(world.b, srtp=srtp)]


def test_an_srtp_caller_can_talk_with_a_plain_rtp_advisor():
    world = World(caller_srtp=Srtp.OPTIONAL)
    secure(world.a)
    world.talk()
    assert b"RTP/AVP" in world.b.seen[0].body
    assert b"crypto" not in world.b.seen[0].body
    (line,) = world.a.told().media[0].attributes("crypto")
    assert line.startswith("3 AES_CM_128_HMAC_SHA1_80 inline:")
    assert KEY.decode() not in line
    ours, theirs = keys(world)
    assert (ours.theirs.suite, theirs) == (Suite.AES_CM_128_HMAC_SHA1_80, None)
    world.a.hang_up()
    world.assert_clean()


def test_a_plain_rtp_caller_can_talk_with_an_advisor_that_requires_srtp():
    world = World()
    rung(world, Srtp.REQUIRED)
    secure(world.b)
    world.talk()
    assert world.b.seen[0].body.count(b"a=crypto:") == 4
    assert world.a.told().media[0].protocol == "RTP/AVP"
    assert [pair is None for pair in keys(world)] == [True, False]
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize(("srtp", "protected"), [(Srtp.OFF, True), (Srtp.REQUIRED, False)], ids=str)
def test_a_caller_that_breaks_its_srtp_rule_gets_488_before_any_phone_rings(srtp, protected):
    world = World(caller_srtp=srtp)
    if protected:
        secure(world.a)
    world.a.call()
    world.net.run(1)
    assert (world.a.statuses[-1], world.b.invites) == (488, [])
    world.assert_clean()


def test_an_advisors_plain_answer_where_srtp_is_required_gives_the_caller_488():
    world = World()
    rung(world, Srtp.REQUIRED)
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 488
    assert world.switch.of(CallAnswered) == []
    world.assert_clean()


def test_a_delayed_offer_follows_the_srtp_rules_too():
    world = World(caller_srtp=Srtp.REQUIRED)
    rung(world, Srtp.REQUIRED)
    secure(world.a)
    secure(world.b, tag=7)
    world.talk(body=b"")
    assert world.a.told().media[0].protocol == "RTP/SAVP"
    assert all(pair is not None for pair in keys(world))
    (line,) = world.b.told().media[0].attributes("crypto")
    assert line.startswith("7 AES_CM_128_HMAC_SHA1_80")
    world.a.hang_up()
    world.assert_clean()


def test_hold_and_its_end_keep_the_srtp_keys_of_both_legs():
    world = World(caller_srtp=Srtp.OPTIONAL)
    rung(world, Srtp.REQUIRED)
    secure(world.a)
    secure(world.b)
    world.talk()
    before = keys(world)
    world.b.reinvite(direction="sendonly")
    assert len(world.switch.of(CallHeld)) == 1
    assert len(list(world.a.told().media[0].attributes("crypto"))) == 1
    world.b.reinvite()
    assert keys(world) == before
    world.a.hang_up()
    world.assert_clean()


def test_a_new_srtp_key_from_one_peer_leaves_the_other_leg_unchanged():
    world = World(caller_srtp=Srtp.OPTIONAL)
    rung(world, Srtp.REQUIRED)
    secure(world.a)
    secure(world.b)
    world.talk()
    before = keys(world)
    secure(world.a, key=OTHER)
    world.a.reinvite()
    after = keys(world)
    assert after[0].ours == before[0].ours
    assert after[0].theirs != before[0].theirs
    assert after[1] == before[1]
    assert world.b.methods == []
    world.a.hang_up()
    world.assert_clean()


def test_a_session_refresh_is_answered_with_the_srtp_key_in_use():
    world = World()
    rung(world, Srtp.REQUIRED)
    secure(world.b)
    world.talk()
    before = keys(world)
    world.b.ask("INVITE", (("Content-Type", "application/sdp"),), world.b.sdp())
    (line,) = world.b.told().media[0].attributes("crypto")
    assert line.startswith("3 ")
    assert keys(world) == before
    version = [int(m.body.split()[3]) for m in world.b.seen if m.body.startswith(b"v=0")]
    assert version == sorted(version)
    world.a.hang_up()
    world.assert_clean()


def test_a_transfer_target_follows_its_own_srtp_rule():
    world = World(caller_srtp=Srtp.OPTIONAL)
    world.switch.plan.transfer_targets = [world.target(world.c, srtp=Srtp.REQUIRED)]
    secure(world.c)
    world.talk()
    world.b.refer()
    world.net.run(2)
    assert world.call.legs[world.call.joined[1]].target.srtp is Srtp.REQUIRED
    assert [pair is None for pair in keys(world)] == [True, False]
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize("both", [False, True])
def test_a_restart_negotiates_new_keys_on_each_srtp_leg(both):
    world = World(caller_srtp=Srtp.OPTIONAL)
    secure(world.a)
    if both:
        rung(world, Srtp.REQUIRED)
        secure(world.b)
    world.talk()
    before = keys(world)
    world.crash()
    world.net.run(1)
    after = keys(world)
    for old, new in zip(before, after, strict=True):
        assert (old is None) is (new is None)
        assert old is None or old.ours.material != new.ours.material
    assert "INVITE" in world.a.methods
    assert ("INVITE" in world.b.methods) is both
    assert world.switch.plane.joins
    world.a.hang_up()
    world.assert_clean()


def test_checkpoints_events_and_reprs_contain_no_srtp_key():
    world = World(caller_srtp=Srtp.OPTIONAL)
    secure(world.a)
    call = world.talk()
    told = repr(bytes(call.checkpoint())) + repr(world.switch.events) + repr(call.legs)
    told += repr(world.switch.plane.remotes) + repr(
        [leg.media.local_description for leg in call.legs.values()]
    )
    pair = keys(world)[0]
    for key in (pair.ours, pair.theirs):
        assert repr(key.material)[2:-1] not in told
        assert base64.b64encode(key.material).decode() not in told
    world.a.hang_up()
    world.assert_clean()
