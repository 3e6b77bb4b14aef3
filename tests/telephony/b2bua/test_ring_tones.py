"""Alert-Info and the other header fields by which a caller could control how a phone rings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.b2bua.headers import ALERTING, granted_alert
from telephony.b2bua.settings import NO_GRANTS, Grants

TONES = Grants(ring_tones=("Bellcore-dr2", "alert-internal", "urn:alert:source:external", "Tax A"))
AUTO = Grants(auto_answer=True)
EVIL = "http://evil.example/ring.wav"


@pytest.mark.parametrize("name", sorted(ALERTING))
@pytest.mark.parametrize("value", ["<http://127.0.0.1>;info=alert-internal", "Auto", "normal"])
def test_no_alerting_field_is_passed_on_without_a_grant(name, value):
    assert granted_alert(name, value, NO_GRANTS) is None


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("Bellcore-dr2", "Bellcore-dr2"),
        ("<bellcore-DR2>", "<Bellcore-dr2>"),
        ("<Bellcore-dr3>", None),
        (f"<{EVIL}>", None),
        (f"<{EVIL}>;info=alert-internal;delay=0", "<http://127.0.0.1>;info=alert-internal"),
        (f'<{EVIL}>;info="Tax A"', '<http://127.0.0.1>;info="Tax A"'),
        (f"<{EVIL}>;info=alert-autoanswer", None),
        (f"<Bellcore-dr2>;info=alert-autoanswer;x={EVIL}", "<Bellcore-dr2>"),
        ("<urn:alert:source:external>", "<urn:alert:source:external>"),
        (f"<{EVIL}>, <Bellcore-dr2>, Auto Answer", "<Bellcore-dr2>"),
        (f"<{EVIL}>;info=alert-autoanswer, {EVIL};info=alert-internal",
         "<http://127.0.0.1>;info=alert-internal"),
        ("<Bellcore-dr2", None),
        ('"open', None),
        ("", None),
    ],
)  # fmt: skip
def test_a_granted_ring_tone_is_rewritten_without_a_foreign_address(value, sent):
    assert granted_alert("alert-info", value, TONES) == sent


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("alert-info", f"<{EVIL}>;info=alert-autoanswer;delay=0",
         "<http://127.0.0.1>;info=alert-autoanswer;delay=0"),
        ("alert-info", "<Intercom>", "<Intercom>"),
        ("alert-info", '"Auto Answer"', '"Auto Answer"'),
        ("alert-info", "auto answer", "Auto Answer"),
        ("alert-info", "Bellcore-dr2", None),
        ("call-info", f"<{EVIL}>;answer-after=0", "<http://127.0.0.1>;answer-after=0"),
        ("call-info", "answer-after=2", "<http://127.0.0.1>;answer-after=2"),
        ("call-info", ";answer-after=2", "<http://127.0.0.1>;answer-after=2"),
        ("call-info", f"<{EVIL}>;purpose=icon", None),
        ("call-info", f"<{EVIL}>;answer-after=now", None),
        ("answer-mode", "auto ; require", "Auto;require"),
        ("priv-answer-mode", "Manual", "Manual"),
        ("answer-mode", f"Auto;{EVIL}", None),
        ("p-auto-answer", "Normal", "normal"),
        ("p-auto-answer", EVIL, None),
    ],
)  # fmt: skip
def test_a_peer_with_the_auto_answer_grant_can_make_a_phone_answer_but_send_no_address(
    name, value, sent
):
    assert granted_alert(name, value, AUTO) == sent


PIECES = ["<", ">", '"', ";", ",", "=", " ", EVIL, "info", "answer-after", "alert-autoanswer",
          "alert-internal", "Bellcore-dr2", "Auto", "delay=0", "\\", "\t",
          "Ring Answer"]  # fmt: skip


@given(
    st.sampled_from(sorted(ALERTING)),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12).map("".join),
    st.sampled_from([NO_GRANTS, TONES, AUTO]),
)
def test_no_alerting_text_passes_on_an_address_or_an_ungranted_auto_answer(name, value, grants):
    sent = granted_alert(name, value, grants)
    if sent is None:
        return
    assert "evil" not in sent
    assert grants is not NO_GRANTS
    assert grants.auto_answer or "answer" not in sent.lower()
    assert granted_alert(name, sent, grants) == sent
