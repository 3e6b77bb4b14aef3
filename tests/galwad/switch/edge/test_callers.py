"""The caller of a call changes when a trusted trunk names another one during the call."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callerid.number import NO_NUMBER, WITHHELD
from galwad.calls.live_calls import presented_by
from galwad.messages import CallerFacts
from galwad.switch.edge.callers import caller_of, new_caller
from helpers.examples import examples
from helpers.sip_messages import request_of
from telephony.b2bua.events import IdentityChanged, Side
from telephony.b2bua.headers import identity_of
from telephony.sip.message.messages import parse_message

RECEPTION, CITIZEN = "01632960912", "01632960001"
FIRST = CallerFacts(RECEPTION, "192.0.2.1", trusted=True)


def update(*headers, user=RECEPTION, host="192.0.2.1"):
    return (
        "UPDATE sip:galwad@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
        f"From: <sip:{user}@{host}>;tag=1\r\nTo: <sip:x@192.0.2.9>;tag=2\r\n"
        "Call-ID: 1@t\r\nCSeq: 2 UPDATE\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers)
        + "Content-Length: 0\r\n\r\n"
    ).encode()


def named(message, before=FIRST):
    """Return the new caller of an UPDATE from the trunk."""
    found = identity_of(message)
    return found and new_caller(before, IdentityChanged("c/a", Side.CALLER, *found, message))


def asserted(name, *more, **first):
    header = ("P-Asserted-Identity", f"<sip:{name}@192.0.2.1>")
    return request_of(update(header, *more, **first))


def test_another_asserted_number_is_a_new_caller_with_this_number():
    caller = named(asserted(CITIZEN))
    assert str(presented_by(caller).number) == "+441632960001"


@pytest.mark.parametrize("same", [RECEPTION, "+441632960912", "00441632960912"])
def test_the_number_of_the_present_caller_in_another_form_is_not_a_new_caller(same):
    assert named(asserted(same)) is None


def test_a_second_number_of_the_first_invite_does_not_name_a_new_caller():
    first = CallerFacts("08001234567", "192.0.2.1", (CITIZEN,), trusted=True)
    assert named(asserted("0800 123 4567"), first) is None


def test_a_remote_party_id_names_a_new_caller_too():
    caller = named(request_of(update(("Remote-Party-ID", f"<sip:{CITIZEN}@t>;party=calling"))))
    assert str(presented_by(caller).number) == "+441632960001"


def test_a_contact_does_not_name_a_new_caller():
    assert named(request_of(update(("Contact", f"<sip:{CITIZEN}@192.0.2.1>")))) is None


@pytest.mark.parametrize(
    "more",
    [("Privacy", "id"), ("Privacy", "user;id"), ("Remote-Party-ID", "<sip:a@t>;privacy=full")],
)
def test_a_new_caller_who_asks_for_privacy_has_no_number(more):
    caller = named(asserted(CITIZEN, more))
    assert presented_by(caller) == WITHHELD


def test_a_new_caller_with_an_anonymous_name_or_dialog_has_no_number():
    anonymous = asserted("anonymous"), asserted(CITIZEN, user="anonymous")
    first = CallerFacts(RECEPTION, "192.0.2.1", (RECEPTION,), trusted=True)
    assert [presented_by(named(message, first)) for message in anonymous] == [WITHHELD] * 2


def test_a_caller_who_asks_for_privacy_later_is_withheld_from_then_on():
    assert presented_by(named(asserted(RECEPTION, ("Privacy", "id")))) == WITHHELD


def test_a_withheld_caller_is_not_shown_when_a_later_message_omits_the_wish_for_privacy():
    first = CallerFacts("anonymous", "192.0.2.1", (CITIZEN,), ("id",), trusted=True)
    assert named(asserted(CITIZEN), first) is None


def test_a_second_withheld_caller_is_another_caller():
    first = CallerFacts("anonymous", "192.0.2.1", (RECEPTION,), ("id",), trusted=True)
    caller = named(asserted(CITIZEN, ("Privacy", "id")), first)
    assert caller != first
    assert presented_by(caller) == WITHHELD


def test_a_name_without_a_number_counts_only_if_the_trunk_has_asserted_a_name_before():
    assert named(asserted("reception")) is None
    before = CallerFacts(CITIZEN, "192.0.2.1", (CITIZEN,), trusted=True)
    assert presented_by(named(asserted("reception"), before)) == NO_NUMBER


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["P-Asserted-Identity", "Remote-Party-ID", "Privacy", "Contact"]),
            st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=40)
            | st.sampled_from(["<sip:1@t>", "<tel:+44;x>", "id", '"" <sip:a b@t>', "<sip:%3B@t>"]),
        ),
        max_size=4,
    )
)
@settings(max_examples=examples(200))
def test_arbitrary_names_from_a_trunk_raise_no_error(headers):
    message = parse_message(update(*headers))
    caller = named(message) if message is not None else None
    assert caller is None or presented_by(caller) is not None


def test_the_facts_of_the_first_invite_contain_every_wish_for_privacy():
    invite = request_of(update(("Privacy", "ID;User"), ("P-Asserted-Identity", "<sip:1@t>")))
    assert caller_of(invite, trusted=True).privacy == ("id", "user")
