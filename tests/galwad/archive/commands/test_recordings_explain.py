"""`galwad recordings show --explain`: each gap is a sentence in Welsh or English.

Covers `galwad/archive/commands/recordings_show.py`.
"""

from __future__ import annotations

import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.archive.commands.recordings_show import explanation_lines
from galwad.cli.support.console import reset_time_zone, use_zone_of_settings
from galwad.cli.support.page_texts import Texts

CALL = "20261125-093000-abcdefgh"
US = 1_000_000
START = 1_795_599_000.0


@pytest.fixture(autouse=True)
def cardiff(monkeypatch):
    """The centre is in Wales; this machine is not."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    use_zone_of_settings(ZoneInfo("Europe/London"))
    yield
    reset_time_zone()
    monkeypatch.undo()
    time.tzset()


def gap(start_s, end_s, reason="payment", trigger="page", actor="user:sian", **more):
    return {
        "from_us": start_s * US,
        "to_us": end_s * US,
        "reason": reason,
        "trigger": trigger,
        "actor": actor,
        "began": START + start_s,
        "ended": START + end_s,
        "then": "recorded",
        "proof": "entry",
        "stopped_by": 10,
        "resumed_by": None,
        **more,
    }


def explanation(*gaps, **more):
    return {
        "call_id": CALL,
        "started": START,
        "talk_us": 300 * US,
        "unexplained_us": 0,
        "signed": True,
        "gaps": list(gaps),
        **more,
    }


def said(only, language="en"):
    """The sentences about the only gap."""
    _header, line = explanation_lines(explanation(only), Texts(language))
    return line


def test_a_pause_is_a_sentence_with_its_times_cause_actor_and_entries(run, server, archive):
    archive.explanation = explanation(gap(80, 125, resumed_by=12))
    done = run("recordings", "show", CALL, "--explain", "--language", "en")
    assert done.status == 0, done.err
    assert done.out == (
        f"Call {CALL}, answered on 2026-11-25 at 09:30:00 GMT, 5 min.\n"
        "At 09:31:20 GMT (1:20 into the call) recording stopped for 45 s because the recording "
        "was paused on the page (sian). It started again at 09:32:05 GMT. Audit entry 10; the "
        "resume is entry 12.\n"
    )
    assert archive.asked[-1][:2] == ("GET", f"/recordings/{CALL}/gaps")


def test_a_pause_is_a_sentence_in_welsh(run, server, archive, monkeypatch):
    archive.explanation = explanation(gap(80, 200, resumed_by=12))
    monkeypatch.setenv("LANGUAGE", "cy")
    done = run("recordings", "show", CALL, "--explain")
    assert done.out == (
        f"Galwad {CALL}, a atebwyd ar 2026-11-25 am 09:30:00 GMT, 5 munud.\n"
        "Am 09:31:20 GMT (1:20 i mewn i'r alwad) peidiodd y recordio am 2 funud oherwydd i'r "
        "recordiad gael ei oedi ar y dudalen (sian). Ailddechreuodd am 09:33:20 GMT. Cofnod "
        "archwiliad 10; yr ailddechrau yw cofnod 12.\n"
    )
    assert run("recordings", "show", CALL, "--explain", "--language", "en").out.startswith("Call")


@pytest.mark.parametrize(
    ("reason", "trigger", "words"),
    [
        ("payment", "api", "paused through the API"),
        ("payment", "phone", "the record key of a phone was pressed"),
        ("payment", "dtmf", "the code for a pause was dialled"),
        ("payment", "refer", "transferred to a payment line"),
        ("payment", "identity", "named a payment line as the new party"),
        ("payment", "page-transfer", "transferred to a payment line on the page"),
        ("transfer", "page-transfer", "transferred out of the centre on the page"),
        ("transfer", "refer", "transferred out of the centre"),
        ("transfer", "identity", "named a new party at the advisor's end"),
        ("fault", "storage", "the recorder could not write to its disk"),
        ("fault", "overflow", "the recorder could not read the packets of sound in time"),
        ("fault", "crash", "the recorder had stopped without warning"),
        ("fault", "", "the recorder had a fault: -"),
        ("erased", "dtmf", "was erased because the code for a pause was dialled"),
        ("erased", "tones", "was erased because digits were keyed just before or after a pause"),
        ("captured-card", "tones", "a card number was keyed outside a pause"),
        ("moonlight", "owl", "because of: moonlight, owl"),
    ],
)
def test_each_cause_has_its_own_words_in_both_languages(reason, trigger, words):
    only = gap(80, 125, reason, trigger, "phone:201")
    assert words in said(only)
    welsh = said(only, "cy")
    assert "because" not in welsh
    assert "Cofnod archwiliad 10." in welsh
    if trigger != "tones":
        assert "(phone 201)" in said(only)
        assert "(ffôn 201)" in welsh


def test_the_sentence_of_a_fault_calls_it_a_fault_and_that_of_a_payment_pause_does_not():
    fault = gap(80, 125, "fault", "storage", "system")
    assert "This is a fault: neither a payment nor a transfer." in said(fault)
    assert "(the system)" in said(fault)
    assert "Nam yw hwn: nid taliad na throsglwyddiad." in said(fault, "cy")
    assert "fault" not in said(gap(80, 125))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"then": "end"}, "It did not start again before the call ended at 09:32:05 GMT."),
        ({"then": "gap"}, "It did not start again at 09:32:05 GMT: the next gap followed at once."),
        ({"proof": "missing", "stopped_by": None}, "The audit has no entry for this"),
        ({"proof": "manifest"}, "in the signed manifest: audit entry 10 has its digest."),
        (
            {"proof": "manifest", "resumed_by": 12},
            "audit entry 10 has its digest; the resume is entry 12.",
        ),
        ({"actor": ""}, "(person or system unknown)"),
        ({"actor": "token:pay"}, "(payment system pay)"),
        ({"actor": "payment:CRM-7"}, "(payment page CRM-7)"),
    ],
)
def test_the_sentence_of_a_gap_says_what_followed_who_acted_and_where_the_proof_is(more, words):
    assert words in said(gap(80, 125, **more))


def test_the_sentence_of_an_erased_stretch_does_not_mention_the_gap_that_follows():
    erased = gap(79, 80, "erased", then="gap")
    assert said(erased) == (
        "At 09:31:19 GMT (1:19 into the call) 1 s that had been recorded was erased because the "
        "recording was paused on the page (sian). A pause can reach back, so that nothing of a "
        "payment is kept. Audit entry 10."
    )


def test_a_call_without_gaps_is_called_whole_only_if_signed_and_without_unexplained_time():
    assert explanation_lines(explanation(), Texts("en"))[1:] == [
        "The whole call was recorded: there are no gaps."
    ]
    unsigned = explanation_lines(explanation(signed=False), Texts("en"))[1:]
    assert unsigned[0].startswith("The signed manifest is missing or was changed")
    assert unsigned[1] == "No gaps are listed."
    unexplained = explanation_lines(explanation(unexplained_us=5 * US), Texts("en"))[1:]
    assert unexplained[0] == "No gaps are listed."
    assert unexplained[1].startswith("5 s of the call cannot be explained")


def test_explain_as_json_has_the_sentence_of_each_gap(run, server, archive):
    archive.explanation = explanation(gap(80, 125))
    found = run("recordings", "show", CALL, "--explain", "--json", "--language", "cy").json()
    (only,) = found["gaps"]
    assert (only["trigger"], only["stopped_by"]) == ("page", 10)
    assert only["sentence"].startswith("Am 09:31:20 GMT (1:20 i mewn i'r alwad)")


def test_an_unknown_language_is_wrong_usage(run, server):
    done = run("recordings", "show", CALL, "--explain", "--language", "kw")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith('error: there are no texts in the language "kw"\nhint: ')
    assert run("recordings", "show", CALL, "--language", "cy").status == 2


@given(st.text(), st.text(), st.text(), st.sampled_from(["en", "cy"]))
def test_any_text_in_a_manifest_gives_one_printable_line(reason, trigger, actor, language):
    line = said(gap(80, 125, reason, trigger, actor), language)
    assert line.isprintable()
