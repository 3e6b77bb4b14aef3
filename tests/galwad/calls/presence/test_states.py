"""The state of a user follows from a break, calls, pages and phones."""

import pytest
from msgspec.structs import replace

from callerid.note import Note
from galwad.calls.bodies import Presence, PresenceState
from galwad.calls.live_calls import LiveCalls
from galwad.calls.presence.states import PresenceFacts
from galwad.calls.presence.store import Break
from galwad.messages import CallerFacts, CallStatus, Party
from galwad.people.user import User

WRAP_UP_S = 120.0
NOW = 1_800_000_000.0
SIAN = User("sian", "advisor", extension="201")
HUW = User("huw", "advisor", extension="202")
AT_201 = Party("201", "sian")
PHONES = {AT_201: 1, Party("202", "huw"): 1}
LUNCH = Break("sian", "lunch", NOW - 600)
RINGING = CallStatus(
    call_id="20261125-101500-aaaaaaaa",
    version=1,
    started=NOW - 20,
    since=NOW - 10,
    line="Council Tax",
    called="01970000000",
    caller=CallerFacts("+441632960001", "pstn.example"),
    state="ringing",
    ringing=(AT_201, Party("202")),
)


@pytest.fixture
def calls():
    return LiveCalls(lambda _before, _after: None, wrapup_limit=WRAP_UP_S, clock=lambda: NOW)


@pytest.fixture
def presence(calls):
    """Return a function that computes a user's presence from the calls and the given facts."""

    def presence(user=SIAN, taken=None, before=None, devices=PHONES, *, page=True, **facts):
        facts = {
            "wrapped_up": {},
            "at_pbx": lambda _user: False,
            "devices_known": True,
            "now": NOW,
            **facts,
        }
        return PresenceFacts(calls.all(), dict(devices), **facts).presence_of(
            user, taken, before, page=page
        )

    return presence


def answered(calls):
    """Let sian answer the call."""
    calls.changed(replace(RINGING, version=2, state="answered", ringing=(), advisor=AT_201))


def test_a_user_with_a_registered_phone_is_available_with_or_without_a_page(presence):
    assert presence().state is PresenceState.AVAILABLE
    phone = presence(page=False, devices={AT_201: 2})
    assert (phone.state, phone.devices) == (PresenceState.AVAILABLE, 2)


NO_EXTENSION = User("sian", "advisor")


@pytest.mark.parametrize("user", [SIAN, NO_EXTENSION])
def test_a_user_with_a_page_but_no_phone_that_can_ring_is_not_available(presence, user):
    assert presence(user, devices={Party("202", "huw"): 1}).state is PresenceState.NO_PHONE
    assert presence(user, LUNCH, devices=()).state is PresenceState.BREAK


def test_without_reports_about_devices_a_user_with_a_page_and_an_extension_is_available(presence):
    assert presence(devices=(), devices_known=False).state is PresenceState.AVAILABLE
    unknown = presence(NO_EXTENSION, devices=(), devices_known=False)
    assert unknown.state is PresenceState.NO_PHONE


def test_a_user_with_a_page_is_available_if_a_pbx_may_have_the_phone(presence):
    found = presence(devices=(), at_pbx=lambda user: user is SIAN)
    assert (found.state, found.devices) == (PresenceState.AVAILABLE, 0)


def test_a_user_without_a_page_and_a_phone_is_offline(presence):
    assert presence(page=False, devices=()).state is PresenceState.OFFLINE
    assert presence(page=False, devices={Party("202", "huw"): 1}).state is PresenceState.OFFLINE


@pytest.mark.parametrize("user", [SIAN, HUW])
def test_a_user_whose_phone_rings_is_on_a_call(presence, calls, user):
    calls.changed(RINGING)
    found = presence(user)
    assert (found.state, found.ringing, found.line) == (PresenceState.ON_CALL, True, "")
    assert found.since == RINGING.since


def test_only_the_advisor_who_has_answered_is_on_the_call(presence, calls):
    answered(calls)
    sian, huw = presence(), presence(HUW)
    assert (sian.state, sian.line, sian.ringing) == (PresenceState.ON_CALL, "Council Tax", False)
    assert huw.state is PresenceState.AVAILABLE


def test_a_user_who_calls_from_a_phone_is_on_a_call(presence, calls):
    calls.changed(replace(RINGING, caller=CallerFacts("201", "galwad"), outgoing=True, ringing=()))
    assert presence().state is PresenceState.ON_CALL


def test_a_caller_whose_number_is_an_extension_does_not_put_that_advisor_on_a_call(presence, calls):
    calls.changed(replace(RINGING, caller=CallerFacts("201", "galwad"), ringing=()))
    assert presence().state is PresenceState.AVAILABLE


def test_a_break_lasts_during_a_call_and_is_shown_after_the_call(presence, calls):
    answered(calls)
    during = presence(taken=LUNCH)
    assert (during.state, during.reason, during.away) == (PresenceState.ON_CALL, LUNCH.reason, True)
    calls.ended(RINGING.call_id, NOW - 1, answered=True)
    after = presence(taken=LUNCH, before=during)
    assert (after.state, after.since) == (PresenceState.BREAK, LUNCH.since)


def test_a_break_does_not_end_without_a_page_and_a_phone(presence):
    assert presence(taken=LUNCH, page=False).state is PresenceState.BREAK


@pytest.mark.parametrize(
    ("ago", "state"),
    [(WRAP_UP_S - 1, PresenceState.WRAP_UP), (WRAP_UP_S + 1, PresenceState.AVAILABLE)],
)
def test_a_user_is_in_wrap_up_for_a_limited_time_after_a_call(presence, calls, ago, state):
    answered(calls)
    calls.ended(RINGING.call_id, NOW - ago, answered=True)
    found = presence()
    assert (found.state, found.away) == (state, state is PresenceState.WRAP_UP)


def test_a_wrap_up_ends_with_the_contact_note(presence, calls):
    answered(calls)
    calls.ended(RINGING.call_id, NOW - 1, answered=True)
    calls.note_saved(RINGING.call_id, Note.not_needed("silent"))
    assert presence().state is PresenceState.AVAILABLE


def test_a_wrap_up_that_the_user_has_ended_does_not_return(presence, calls):
    answered(calls)
    calls.ended(RINGING.call_id, NOW - 10, answered=True)
    assert presence(wrapped_up={"sian": NOW - 5}).state is PresenceState.AVAILABLE
    assert presence(wrapped_up={"sian": NOW - 15}).state is PresenceState.WRAP_UP


def test_an_advisor_who_has_transferred_a_call_is_in_wrap_up_while_the_call_goes_on(
    presence, calls
):
    answered(calls)
    calls.changed(replace(RINGING, version=3, state="answered", ringing=(), advisor=Party("301")))
    assert presence().state is PresenceState.WRAP_UP


def test_a_state_that_has_not_changed_keeps_its_start(presence):
    before = Presence("sian", "201", PresenceState.AVAILABLE, NOW - 300)
    assert presence(before=before).since == NOW - 300
    offline = presence(before=before, page=False, devices=())
    assert offline.since == NOW


def test_without_a_switch_the_number_of_devices_is_not_known(presence):
    found = presence(page=False, devices={AT_201: 1}, devices_known=False)
    assert (found.devices, found.state) == (None, PresenceState.AVAILABLE)


def test_a_phone_in_the_settings_belongs_to_the_user_whom_they_name(presence):
    gwen = User("gwen", "advisor")
    found = presence(gwen, page=False, devices={Party("209", "gwen"): 1})
    assert (found.extension, found.devices) == ("209", 1)
