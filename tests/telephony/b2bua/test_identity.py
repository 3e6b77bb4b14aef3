"""A party whose name changes during a call: who is notified, and how (RFC 4916, RFC 3325).

Covers `telephony/b2bua/headers.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from telephony.b2bua.events import IdentityChanged

SIAN = ("P-Asserted-Identity", '"Sian" <sip:201@pbx.example>')
GWEN = ("P-Asserted-Identity", '"Gwen" <sip:202@pbx.example>')


@pytest.fixture
def talking():
    """A call between a trusted trunk and a target inside the trust domain, named Sian."""

    def talking(*, trust_caller=True, caller=(), **facts):
        world = World(trust_caller=trust_caller)
        world.switch.plan.targets = [world.target(world.b, **{"trust": True} | facts)]
        world.b.reply = Reply(headers=(SIAN,))
        world.talk(headers=caller)
        return world

    return talking


def told(phone, header="P-Asserted-Identity"):
    """Return (method, name) of each request that carried a name."""
    named = [(request.method, request.headers.get(header)) for request in phone.requests]
    return [(method, name) for method, name in named if name is not None]


def test_a_new_name_in_an_update_is_passed_on_by_update(talking):
    world = talking()
    world.b.ask("UPDATE", (GWEN,))
    assert told(world.a) == [("UPDATE", GWEN[1])]
    assert world.a.requests[-1].body == b""


def test_a_remote_party_id_names_a_new_party_unless_the_message_asserts_a_name(talking):
    world = talking()
    world.b.ask("UPDATE", (("Remote-Party-ID", GWEN[1]), SIAN))
    assert world.a.methods == []
    world.b.ask("UPDATE", (("Remote-Party-ID", GWEN[1]),))
    assert told(world.a, "Remote-Party-ID") == [("UPDATE", GWEN[1])]


def test_a_remote_party_id_is_passed_on_if_no_asserted_name_was_given():
    world = World(trust_caller=True)
    world.switch.plan.targets = [world.target(world.b, trust=True)]
    world.talk()
    row = '"Gwen" <sip:202@pbx.example>;party=called;privacy=off'
    world.b.ask("UPDATE", (("Remote-Party-ID", row),))
    assert told(world.a, "Remote-Party-ID") == [("UPDATE", row)]


def test_a_new_name_in_a_re_invite_with_unchanged_sdp_is_passed_on_by_update(talking):
    world = talking()
    world.b.ask("INVITE", (GWEN, ("Content-Type", "application/sdp")), world.b.sdp())
    assert world.b.statuses[-1] == 200
    assert told(world.a) == [("UPDATE", GWEN[1])]


def test_a_new_name_in_a_forwarded_offer_is_passed_on_once_in_that_offer(talking):
    world = talking()
    world.b.version += 1
    offer = world.b.sdp(direction="sendonly")
    world.b.ask("INVITE", (GWEN, ("Content-Type", "application/sdp")), offer)
    assert told(world.a) == [("INVITE", GWEN[1])]


def test_a_peer_that_does_not_allow_update_gets_the_new_name_in_a_re_invite(talking):
    world = talking(caller=(("Allow", "INVITE, ACK, BYE"),))
    before = world.a.told()
    world.b.ask("UPDATE", (GWEN,))
    assert told(world.a) == [("INVITE", GWEN[1])]
    assert world.a.told() == before


def test_the_callers_new_name_is_passed_on_to_the_advisors_phone(talking):
    world = talking(is_phone=True)
    name = ("P-Asserted-Identity", "<sip:+441632960009@trunk.example>")
    world.a.ask("UPDATE", (name,))
    assert told(world.b) == [("UPDATE", name[1])]


@pytest.mark.parametrize(
    "facts",
    [{"trust_caller": False}, {"trust": False}, {"trust_caller": False, "trust": False}],
)
def test_a_new_name_is_not_passed_on_outside_the_trust_domain(talking, facts):
    world = talking(**facts)
    for phone, other in ((world.a, world.b), (world.b, world.a)):
        phone.ask("UPDATE", (GWEN,))
        assert phone.statuses[-1] == 200
        assert other.methods == []


def test_a_withheld_new_name_is_hidden_from_a_phone_and_sent_with_privacy_to_a_trunk(talking):
    private = (GWEN, ("Privacy", "id"))
    world = talking(is_phone=True)
    world.a.ask("UPDATE", private)
    assert world.b.methods == []
    world = talking()
    world.a.ask("UPDATE", private)
    assert told(world.b) == [("UPDATE", GWEN[1])]
    assert world.b.requests[-1].headers.get("Privacy") == "id"


def test_a_repeated_name_is_passed_on_once(talking):
    world = talking()
    for _ in range(3):
        world.b.ask("UPDATE", (GWEN,))
    world.b.ask("UPDATE")
    assert told(world.a) == [("UPDATE", GWEN[1])]
    assert len(world.switch.of(IdentityChanged)) == 2


@pytest.mark.parametrize(("status", "times"), [(491, 2), (500, 2), (403, 1), (606, 1)])
def test_a_new_name_is_sent_again_after_491_or_500_but_not_after_a_refusal(talking, status, times):
    world = talking()
    world.a.infos["UPDATE"] = status
    world.b.ask("UPDATE", (GWEN,))
    world.net.run(0.5)
    del world.a.infos["UPDATE"]
    world.net.run(20)
    assert told(world.a) == [("UPDATE", GWEN[1])] * times
    assert not world.call.ended


def test_an_update_with_a_new_name_keeps_the_session_timer(talking):
    world = talking(caller=(("Supported", "timer"), ("Session-Expires", "120;refresher=uac")))
    world.b.ask("UPDATE", (GWEN,))
    assert world.a.requests[-1].headers.get("Session-Expires") == "120;refresher=uas"


def test_a_bye_instead_of_an_answer_to_the_name_update_ends_the_call_cleanly(talking):
    world = talking()
    world.a.infos["UPDATE"] = None
    world.b.ask("UPDATE", (GWEN,))
    world.a.hang_up()
    world.assert_clean()


def test_a_re_invite_without_identity_headers_keeps_the_asserted_name(world):
    asserted = ("P-Asserted-Identity", "<sip:201@pbx.example>")
    world.b.reply = Reply(headers=(asserted,))
    world.talk()
    world.b.reinvite(direction="sendonly")
    assert len(world.switch.of(IdentityChanged)) == 1
    world.b.ask("UPDATE", (("P-Asserted-Identity", "<sip:205@pbx.example>"),))
    assert len(world.switch.of(IdentityChanged)) == 2
