"""A 3xx from a target: refused, or followed to targets that the owner of the call knows."""

from dataclasses import replace

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua import BackToBackCall
from telephony.b2bua.events import CallAnswered, CallRedirected
from telephony.sip.message.uri import Uri


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380])
def test_a_redirection_is_not_followed_and_its_contact_is_not_passed_on(world, status):
    stranger = ("Contact", "<sip:premium@203.0.113.9>")
    world.b.reply = Reply(final=status, headers=(stranger,))
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    assert not [to for _, to, _ in world.net.wire if to.host == "203.0.113.9"]
    assert not [d for _, to, d in world.net.wire if to == world.a.address and b"premium" in d]
    assert not world.switch.of(CallAnswered)
    world.assert_clean()


class Known(dict):
    """The known targets, by the user part of a Contact."""

    def ask(self, user):
        return self.get(user, ())


@pytest.fixture
def known(world, monkeypatch):
    """Make each call follow redirections to the targets in this dict, by user part."""
    knows = Known()
    begin = BackToBackCall.dial

    def dial(call, targets, now, later=None):
        call.follow_redirects(lambda contact, _now: knows.ask(contact.uri.user))
        begin(call, targets, now, later)

    monkeypatch.setattr(BackToBackCall, "dial", dial)
    return knows


def _deflects(world, to):
    return type(world.b.reply)(final=302, headers=(("Contact", f"<sip:{to}@198.51.100.9>"),))


def test_a_phones_redirection_to_a_known_colleague_is_followed(world, known):
    known["c"] = [world.target(world.c)]
    world.b.reply = _deflects(world, "c")
    world.talk()
    assert world.c.invites[0].request.uri.host == world.c.address.host
    assert [event.targets[0].name for event in world.switch.of(CallRedirected)] == ["30"]
    assert world.a.statuses.count(180) == 2
    assert not [to for _, to, _ in world.net.wire if to.host == "198.51.100.9"]
    world.a.hang_up()
    world.assert_clean()


def test_a_redirection_loop_between_two_phones_ends_with_480(world, known):
    known["b"], known["c"] = [world.target(world.b)], [world.target(world.c)]
    world.b.reply, world.c.reply = _deflects(world, "c"), _deflects(world, "b")
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    assert (len(world.b.invites), len(world.c.invites)) == (1, 1)
    world.assert_clean()


def test_a_call_is_redirected_at_most_five_times(world, known):
    world.b.reply = _deflects(world, "on")
    rounds: list = []

    def on(_contact):
        rounds.append(len(rounds))
        return [replace(world.target(world.b), uri=Uri(user=f"b{len(rounds)}", host="192.0.2.20"))]

    known.ask = on
    world.a.call()
    world.net.run(1)
    assert (len(rounds), len(world.b.invites)) == (5, 6)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_a_redirection_to_a_colleague_with_two_phones_rings_both(world, known):
    known["c"] = [world.target(world.c), replace(world.target(world.c), uri=Uri(host="192.0.2.30"))]
    world.b.reply = _deflects(world, "c")
    world.c.reply = Reply(provisional=(183,), early=True, final=None)
    world.a.call()
    assert len(world.c.invites) == 2
    assert [r.status for r in world.a.responses if r.status > 100] == [180, 180]
    world.c.answer(world.c.invites[0], reply=Reply(provisional=()))
    world.net.run(1)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_redirection_without_a_free_port_ends_with_480(world, known):
    known["c"] = [world.target(world.c)]
    world.b.reply = _deflects(world, "c")
    world.switch.plane.room = 2
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


@pytest.mark.parametrize("contact", ["*", "<<<", "", "<sip:nobody@192.0.2.30>"])
def test_a_redirection_without_a_usable_contact_ends_with_480(world, known, contact):
    known["c"] = [world.target(world.c)]
    world.b.reply = Reply(final=302, headers=(("Contact", contact),))
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    assert world.c.invites == []
    world.assert_clean()
