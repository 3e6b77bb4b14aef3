"""The parties of a call: who has it, handovers, and groups behind a PBX."""

from typing import cast

import pytest

from config.values import Pattern
from galwad.messages import Party
from galwad.settings.switch import Route
from galwad.switch.call.advisor_side import AdvisorSide
from galwad.switch.edge.routing import Router
from telephony.b2bua import Target
from telephony.sip.events import Address
from telephony.sip.message.uri import Uri


class Users:
    """The users of the extensions."""

    def user_of(self, extension):
        return {"201": "sian", "202": "ceri"}.get(extension, "")


def at(name, *, is_phone):
    return Target(
        uri=Uri.parse(f"sip:{name}@192.0.2.20"),
        destination=Address("192.0.2.20", 5060),
        name=name,
        user=Users().user_of(name),
        is_phone=is_phone,
    )


def parties_of(*advisors):
    """Return the advisor side of a call that rings at the PBX."""
    route = Route(called=Pattern.parse("0*"), target=("sip:600@192.0.2.20",), advisors=advisors)
    advisor_side = AdvisorSide(cast("Router", Users()), route)
    advisor_side.dialled((at("600", is_phone=False),))
    return advisor_side


@pytest.fixture
def behind_a_pbx():
    """A call that the PBX has answered without naming an advisor."""
    route = Route(
        called=Pattern.parse("0*"), target=("sip:600@192.0.2.20",), advisors=("sian", "ceri")
    )
    advisor_side = AdvisorSide(cast("Router", Users()), route)
    advisor_side.dialled((at("600", is_phone=False),))
    advisor_side.answered("c/b1", at("600", is_phone=False))
    return advisor_side


def test_a_call_to_a_pbx_is_shown_at_its_number_and_at_the_users_behind_the_pbx():
    advisor_side = parties_of("sian")
    assert advisor_side.ringing == (Party("600", ""), Party("", "sian"))
    assert advisor_side.concern(user="sian")
    assert not advisor_side.concern(user="ceri")


def test_only_the_first_claim_by_a_member_of_a_group_takes_the_call(behind_a_pbx):
    assert behind_a_pbx.candidates == (Party("", "sian"), Party("", "ceri"))
    assert not behind_a_pbx.claim(Party("203", "huw"))
    assert behind_a_pbx.claim(Party("201", "sian"))
    assert behind_a_pbx.candidates == ()
    assert not behind_a_pbx.claim(Party("202", "ceri"))
    assert behind_a_pbx.actor == "phone:201"


def test_a_call_moved_to_a_registered_phone_belongs_to_that_phones_user(behind_a_pbx):
    behind_a_pbx.replaced("c/b2", at("202", is_phone=True))
    assert behind_a_pbx.advisor == Party("202", "ceri")
    assert not behind_a_pbx.claim(Party("201", "sian"))


def test_a_ringing_call_has_no_advisor():
    route = Route(called=Pattern.parse("0*"), ring=("201",))
    advisor_side = AdvisorSide(cast("Router", Users()), route)
    advisor_side.dialled((at("201", is_phone=True),))
    advisor_side.also_rings_at((at("202", is_phone=True),))
    assert advisor_side.ringing == (Party("201", "sian"), Party("202", "ceri"))
    assert (advisor_side.advisor, advisor_side.actor) == (None, "system")
