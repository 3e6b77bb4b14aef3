"""The names that a proxy or PBX gives before its answer, and the one that counts at the answer."""

import pytest

from helpers.b2bua.phone import SDP, Reply
from telephony.b2bua.events import CallAnswered, IdentityChanged

SIAN = ("P-Asserted-Identity", "<sip:201@pbx.example>")
GWEN = ("P-Asserted-Identity", "<sip:202@pbx.example>")
RPID = ("Remote-Party-ID", "<sip:203@pbx.example>;party=called")
HISTORY = "History-Info", "<sip:201@x?Reason=SIP%3Bcause%3D408>;index=1, <sip:v@x>;index=2"
MAILBOX = ("P-Asserted-Identity", "<sip:*97@pbx.example>")


@pytest.fixture
def answered(world):
    """A function that lets the callee send these responses, and returns the name that counts.

    A response is (status, To tag, header fields). The name is its user part and its header field.
    """

    def answered(*responses):
        world.b.reply = Reply(provisional=(), final=None)
        world.a.call()
        for status, tag, *headers in responses:
            final = status == 200
            world.b.dialog = world.b.invites[0].respond(
                status,
                headers=(*headers, *(SDP if final else ())),
                body=world.b.sdp() if final else b"",
                to_tag=tag,
                now=world.b.now,
            )
            world.net.flush()
            if not final:
                assert world.switch.of(IdentityChanged) == []
        events = world.switch.of(IdentityChanged)
        assert world.switch.of(CallAnswered)
        return [(each.identity.uri.dialled, each.source) for each in events]

    return answered


PAI = "P-Asserted-Identity"
UNKNOWN = [("anonymous", "")]


@pytest.mark.parametrize(
    ("responses", "named"),
    [
        ([(180, "a", SIAN), (200, "a")], [("201", PAI)]),
        ([(180, "a", SIAN), (200, "a", GWEN)], [("202", PAI)]),
        ([(180, "a", SIAN), (180, "b", GWEN), (200, "b")], [("202", PAI)]),
        ([(180, "a", SIAN), (180, "b", GWEN), (200, "a")], [("201", PAI)]),
        ([(180, "a", SIAN), (180, "b", RPID), (183, "b"), (200, "b")], [("203", RPID[0])]),
        ([(180, "a", SIAN), (180, "b"), (200, "b", GWEN)], [("202", PAI)]),
        ([(180, "a", SIAN), (180, "b"), (200, "b")], UNKNOWN),
        ([(180, "a", SIAN), (200, "b")], UNKNOWN),
    ],
)
def test_only_the_name_from_the_dialog_that_answers_counts(answered, responses, named):
    assert answered(*responses) == named


@pytest.mark.parametrize(
    "message",
    [
        (200, "a", SIAN, ("Diversion", "<sip:201@pbx.example>;reason=no-answer")),
        (200, "a", ("Diversion", "<sip:201@pbx.example>;reason=no-answer")),
        (200, "b", SIAN, ("Diversion", "<sip:600@x>, <sip:201@pbx.example>;reason=no-answer")),
        (200, "a", SIAN, HISTORY),
    ],
)
def test_a_party_that_has_diverted_the_call_is_not_the_party_that_answers(answered, message):
    assert answered((180, "a", SIAN), message) == UNKNOWN


@pytest.mark.parametrize("message", [(200, "a"), (200, "a", SIAN), (200, "b"), (200, "b", SIAN)])
def test_a_name_from_before_the_call_was_forwarded_does_not_count(answered, message):
    assert answered((180, "a", SIAN), (181, "a"), message) == UNKNOWN


@pytest.mark.parametrize(
    "forwarded", [(181, "a"), (180, "a", ("Diversion", "<sip:201@x>;reason=no-answer"))]
)
def test_the_name_of_the_party_to_whom_the_call_was_diverted_counts(answered, forwarded):
    assert answered((180, "a", SIAN), forwarded, (200, "a", MAILBOX)) == [("*97", PAI)]


@pytest.mark.parametrize(
    "header",
    [
        ("Diversion", "<sip:600@pbx.example>;reason=unconditional"),
        ("Diversion", "<sip:["),
        ("History-Info", "<sip:201@pbx.example>;index=1.1, <sip:202@pbx.example>;index=1.2"),
    ],
)
def test_a_diversion_by_another_party_does_not_remove_the_name(answered, header):
    assert answered((180, "a", SIAN), (200, "a", header)) == [("201", PAI)]


def test_contacts_in_other_dialogs_do_not_make_the_answering_party_anonymous(answered):
    assert answered((180, "a"), (180, "b"), (200, "b"))[0][1] == "Contact"
