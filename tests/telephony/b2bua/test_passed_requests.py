"""The requests within a call that are passed on: by method, content type and event package."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.b2bua.headers import Trust
from telephony.b2bua.in_dialog import PassedRequest, RefusedRequest, judge_request
from telephony.b2bua.settings import Grants, PeerKind
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri

OUTSIDE, TRUSTED, PHONE = PeerKind.OUTSIDE, PeerKind.TRUSTED, PeerKind.PHONE
AUTO = Grants(auto_answer=True)
PAIRS = list(itertools.product(PeerKind, PeerKind))


def judge(method, sender, receiver, grants=None, body=b"x", **headers):
    rows = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request = Request(method, Uri(host="h"), Headers(rows), body)
    return judge_request(request, Trust(sender, receiver, grants or Grants()))


def status(*facts, **headers):
    judged = judge(*facts, **headers)
    return judged.status if isinstance(judged, RefusedRequest) else 200


@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
def test_a_pressed_key_passes_between_all_peers_and_a_hook_flash_only_inside(sender, receiver):
    pair = (sender, receiver)
    assert status("INFO", *pair, Content_Type="application/dtmf-relay") == 200
    assert status("INFO", *pair, body=b"") == 200
    assert status("INFO", *pair, Content_Type="text/html") == 415
    assert status("INFO", *pair, Content_Type="application/dtmf", Content_Encoding="gzip") == 415
    assert status("INFO", *pair, Info_Package="x", Content_Type="application/dtmf") == 469
    inside = OUTSIDE not in pair
    wanted = 200 if inside else 415
    assert status("INFO", *pair, Content_Type="application/hook-flash") == wanted


@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
def test_a_message_passes_only_inside_and_only_as_plain_text(sender, receiver):
    inside = OUTSIDE not in {sender, receiver}
    shown = (sender, receiver) == (TRUSTED, PHONE)
    for grants in (None, AUTO, Grants(messages=True)):
        facts = ("MESSAGE", sender, receiver, grants)
        plain = status(*facts, Content_Type="text/plain")
        html = status(*facts, Content_Type="text/html")
        may = inside and (not shown or (grants is not None and grants.messages))
        assert (plain, html) == ((200, 415) if may else (403, 403))


@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
@pytest.mark.parametrize("grants", [None, AUTO])
def test_a_notify_passes_depending_on_its_event_package_peers_and_grants(sender, receiver, grants):
    inside = OUTSIDE not in {sender, receiver}

    def passes(event, kind="application/dialog-info+xml", body=b"x"):
        facts = (sender, receiver, grants, body)
        return status("NOTIFY", *facts, Event=event, Content_Type=kind) == 200

    assert passes("dialog;id=1") is (inside or receiver is not PHONE)
    assert passes("dialog", "text/html") is False
    mwi = "application/simple-message-summary"
    assert passes("message-summary", mwi) is inside
    assert passes("talk", body=b"") is (inside and grants is AUTO)
    for event in ("check-sync", "check-sync;reboot=true", "resync", "report", "", "ua-profile"):
        assert passes(event, body=b"") is False


WORDS = st.sampled_from(["text/plain", "text/html", "application/dtmf-relay", "dialog", "talk",
                         "check-sync", "message/sipfrag;version=2.0", ";", ",", '"'])  # fmt: skip


@given(
    st.sampled_from(["INFO", "MESSAGE", "NOTIFY"]),
    *[st.sampled_from(PeerKind)] * 2,
    st.tuples(*[st.lists(WORDS, max_size=3).map("".join)] * 2),
    st.booleans(),
)
def test_a_passed_request_has_only_content_type_event_and_subscription_state(
    method, sender, receiver, texts, granted
):
    kind, event = texts
    more = {"Content_Disposition": "render", "Content_Language": "cy", "Subscription_State": "a"}
    grants = AUTO if granted else None
    judged = judge(method, sender, receiver, grants, Content_Type=kind, Event=event, **more)
    if isinstance(judged, PassedRequest):
        assert {name for name, _ in judged.headers} <= {
            "Content-Type",
            *(("Event", "Subscription-State") if method == "NOTIFY" else ()),
        }
        assert "html" not in dict(judged.headers).get("Content-Type", "")
        assert method != "NOTIFY" or event.partition(";")[0].strip() in {"dialog", "talk"}
