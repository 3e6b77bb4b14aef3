"""The recordings at `#recordings`: the search, what happened in each recording, and its details.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import expect

from galwad.archive.commands.recordings_show import explanation_lines
from galwad.cli.support.console import reset_time_zone, use_zone_of_response
from galwad.cli.support.page_texts import Texts
from helpers.page_recordings import STARTED, a_pause, a_recording
from helpers.page_states import MAIR, answer
from recording.archive.disposal import CERTIFICATE, AuditPlace, Certificate
from recording.archive.manifest import Interval, ObjectFacts

pytestmark = pytest.mark.peer

PLACES = """spans => spans.map(span => {
    const whole = span.parentElement.clientWidth;
    return [span.className, span.offsetLeft / whole, span.offsetWidth / whole];
})"""
"""The kind of each gap in a timeline, and its place and length as parts of the whole."""


@pytest.fixture
def desk(desk):
    """A desk at which a supervisor is signed in, with three recordings."""
    desk.me |= {"user": "mair", "role": "supervisor", "extension": None}
    desk.recordings.rows = [
        a_recording(3, (a_pause(60, 125), a_pause(300, 300.4, reason="fault", trigger="storage"))),
        a_recording(2, number="", advisor="", extension="", talk_us=65_000_000),
        a_recording(1, number="", line="", advisor="", extension="", interrupted=True),
    ]
    return desk


@pytest.fixture
def opened(desk, browser_page, address):
    """The page of the recordings, opened by its address."""
    browser_page.goto(f"{address}/#recordings")
    browser_page.get_by_role("heading", name="Recordings", level=1).wait_for()
    return browser_page


@pytest.fixture
def found(opened):
    """The page after a search without filters."""
    search(opened)
    return opened


def search(page):
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".recordings [aria-busy=false]")).to_be_visible()


def searches(desk):
    """The bodies of the searches so far."""
    return [body for _, path, body in desk.asked if path == "/recordings/search"]


def cells(page, row):
    return [
        text.strip()
        for text in page.locator("tbody tr:visible").nth(row).locator("th, td").all_inner_texts()
    ]


def test_the_code_and_texts_of_the_recordings_are_loaded_when_they_are_opened(
    desk, browser_page, address
):
    loaded = []
    browser_page.on("request", lambda request: loaded.append(request.url.rsplit("/", 1)[-1]))
    browser_page.goto(address)
    button = browser_page.get_by_role("button", name="Recordings", exact=True)
    button.wait_for()
    assert not {"recordings.js", "en?part=recordings"} & set(loaded)
    button.click()
    expect(browser_page.get_by_role("heading", name="Recordings", level=1)).to_be_focused()
    assert {"recordings.js", "recordings.css", "en?part=recordings"} <= set(loaded)
    expect(browser_page.get_by_role("region", name="All calls")).to_be_hidden()
    assert searches(desk) == []
    browser_page.get_by_role("button", name="Back to the calls").click()
    expect(button).to_be_focused()
    expect(browser_page.get_by_role("region", name="All calls")).to_be_visible()


def test_an_advisor_is_not_offered_the_recordings(desk, browser_page, address):
    desk.me |= {"user": "sian", "role": "advisor"}
    browser_page.goto(f"{address}/#recordings")
    expect(browser_page.get_by_text("No call at the moment")).to_be_visible()
    expect(browser_page.get_by_role("button", name="Recordings")).to_have_count(0)
    expect(browser_page.get_by_role("heading", name="Recordings")).to_have_count(0)


def test_a_recording_is_shown_with_its_gaps_in_words_and_what_is_not_known(found):
    expect(found.locator(".recordings").get_by_text("3 recordings.")).to_be_visible()
    assert cells(found, 0)[1:] == [
        "+441970000123",
        "Council Tax",
        "sian",
        "10:00",
        "Payment 1 min 5 s, Fault 0.4 s",
    ]
    assert cells(found, 1)[1:] == [
        "No number",
        "Council Tax",
        "Not known",
        "1:05",
        "Recorded without a gap",
    ]
    assert cells(found, 2)[1:4] == ["Not known", "Not known", "Not known"]
    expect(found.get_by_text("Recorder stopped during the call")).to_be_visible()


def test_gaps_are_drawn_at_their_place_in_the_recording(found):
    places = found.locator(".track").first.locator("span").evaluate_all(PLACES)
    assert [kind for kind, _, _ in places] == ["gap-payment", "gap-fault"]
    assert [at for _, at, _ in places] == pytest.approx([0.1, 0.5], abs=0.01)
    assert places[0][2] == pytest.approx(65 / 600, abs=0.01)
    assert places[1][2] > 0


def test_unexplained_time_is_drawn_above_a_gap_and_not_as_recorded(desk, opened):
    parts = [Interval(0, 60_000_000), Interval(90_000_000, 120_000_000)]
    desk.recordings.rows = [a_recording(1, (a_pause(60, 125),), unexplained=parts)]
    search(opened)
    track = opened.locator(".track").first
    places = track.locator("span").evaluate_all(PLACES)
    assert [kind for kind, _, _ in places] == ["gap-payment", "gap-unexplained", "gap-unexplained"]
    assert [at for _, at, _ in places] == pytest.approx([0.1, 0, 0.15], abs=0.01)
    shown = track.evaluate("""track => {
        const {x, y, width, height} = track.getBoundingClientRect();
        return document.elementFromPoint(x + width * 105 / 600, y + height / 2).className;
    }""")
    assert shown == "gap-unexplained"
    expect(opened.locator(".what p").first).to_contain_text("Not explained 1 min 30 s")


def test_all_filters_are_sent_and_the_last_day_is_included(desk, opened):
    filled = {
        "Caller's number": " 01970 000123 ",
        "Line": "Council Tax",
        "Advisor (user name)": "sian",
    }
    for label, text in filled.items():
        opened.get_by_label(label, exact=True).fill(text)
    opened.get_by_label("Started").select_option("Between two dates")
    opened.get_by_label("From").fill("2026-02-27")
    opened.get_by_label("To (included)").fill("2026-02-28")
    opened.get_by_text("More filters").click()
    opened.get_by_label("Extension").fill("201")
    opened.get_by_label("Recording id, or the reference of a fetch").fill("SAR-17")
    opened.get_by_label("With a gap").select_option("Card number silenced")
    opened.get_by_label("At least (minutes)").fill("1:30")
    opened.get_by_label("At most (minutes)").fill("20")
    search(opened)
    assert searches(desk) == [
        {
            "number": "01970 000123",
            "line": "Council Tax",
            "advisor": "sian",
            "extension": "201",
            "reference": "SAR-17",
            "gap_reason": "captured-card",
            "since": "2026-02-27",
            "until": "2026-03-01",
            "min_length_s": 90,
            "max_length_s": 1200,
        }
    ]
    opened.get_by_label("Started").select_option("Last week")
    search(opened)
    assert searches(desk)[1]["when"] == "last week"
    assert not {"since", "until"} & searches(desk)[1].keys()
    opened.get_by_role("button", name="Clear the filters").click()
    expect(opened.get_by_label("Line", exact=True)).to_have_value("")
    search(opened)
    assert searches(desk)[2] == {}


LENGTHS = "At least (minutes)", "At most (minutes)"
DATES = "From", "To (included)"


@pytest.mark.parametrize(
    ("labels", "values", "text"),
    [
        (LENGTHS, ("10 min", "20"), "Write a length as minutes, minutes:seconds or hours:"),
        (LENGTHS, ("1:00:01", "60"), "The least length is above the greatest."),
        (DATES, ("", ""), "Choose at least one of the two dates."),
        (DATES, ("2026-02-28", "2026-02-27"), "The second date must not be before the first."),
    ],
)
def test_a_filter_without_a_meaning_is_explained_and_nothing_is_sent(
    desk, opened, labels, values, text
):
    if labels is DATES:
        opened.get_by_label("Started").select_option("Between two dates")
    else:
        opened.get_by_text("More filters").click()
    for label, value in zip(labels, values, strict=True):
        opened.get_by_label(label).fill(value)
    if labels is LENGTHS:
        opened.get_by_text("More filters").click()  # the field is shown again
    opened.get_by_role("button", name="Search").click()
    problem = opened.locator(".recordings [role=alert]:visible")
    expect(problem).to_contain_text(text)
    field = opened.locator("[aria-invalid=true]")
    expect(field).to_be_focused()
    assert searches(desk) == []
    opened.get_by_label("Advisor (user name)").fill("sian")
    expect(problem).to_have_count(0)
    expect(field).to_have_count(0)


def test_a_half_typed_date_that_is_hidden_does_not_prevent_a_search(desk, opened):
    opened.get_by_label("Started").select_option("Between two dates")
    opened.get_by_label("From").press("2")
    opened.get_by_label("Started").select_option("Yesterday")
    search(opened)
    assert searches(desk) == [{"when": "yesterday"}]


def test_a_line_is_found_by_its_name_in_each_language_of_the_page(desk, opened):
    line = opened.get_by_label("Line", exact=True)
    opened.locator("#link[data-state=live]").wait_for()
    desk.push("texts", {**desk.page_texts(), "line_names": {"ctax": {"en": "Tax", "cy": "Treth"}}})
    for typed in ("tax", "Treth", "CTAX", "other"):
        line.fill("")
        line.focus()
        expect(opened.locator("#recordings-lines option")).to_have_attribute("value", "Tax")
        line.fill(typed)
        search(opened)
    assert [body["line"] for body in searches(desk)] == ["ctax", "ctax", "ctax", "other"]


def test_a_refused_search_shows_the_reason_and_keeps_what_was_found(desk, found):
    for refusal, text in (
        ((422, {"reason": "card_number"}), "This looks like a payment card number. Remove it."),
        ((422, {}), "The server cannot read a filter. Check the dates and the lengths."),
        ((503, {}), "That did not reach the server. Try again."),
    ):
        desk.recordings.refusal = refusal
        search(found)
        expect(found.locator(".recordings .warning:visible")).to_have_text(text)
    expect(found.locator(".recordings tbody tr:visible")).to_have_count(3)


def test_a_search_that_needs_a_stronger_sign_in_comes_back_to_the_recordings(desk, opened, address):
    desk.provider = f"{address}/static/icon.svg"
    desk.recordings.refusal = (403, {"reason": "step_up_needed"})
    search(opened)
    expect(opened.get_by_text("This needs a stronger sign-in")).to_be_focused()
    opened.get_by_role("button", name="Go to the stronger sign-in").click()
    opened.wait_for_url(desk.provider)
    body = {"language": "en", "step_up": True, "place": "recordings"}
    assert ("POST", "/sign-in/begin", body) in desk.asked


def test_more_recordings_follow_those_shown_and_get_the_focus(desk, opened):
    desk.recordings.rows = [a_recording(number) for number in range(5, 0, -1)]
    desk.recordings.page = 2
    opened.get_by_label("Line", exact=True).fill("Council Tax")
    search(opened)
    shown = opened.locator(".recordings")
    expect(shown.get_by_text("The newest 2 are shown. There are more.")).to_be_visible()
    opened.get_by_label("Line", exact=True).fill("")  # changes nothing before the next search
    opened.get_by_role("button", name="Show more").click()
    expect(opened.locator(".recordings tbody button").nth(2)).to_be_focused()
    opened.get_by_role("button", name="Show more").click()
    expect(shown.get_by_text("5 recordings.")).to_be_visible()
    expect(opened.get_by_role("button", name="Show more")).to_be_hidden()
    assert searches(desk) == [
        {"line": "Council Tax", **more} for more in ({}, {"after": "2"}, {"after": "4"})
    ]


def test_a_disposed_recording_shows_its_certificate_and_cannot_be_played(desk, found):
    certificate = Certificate(
        format=CERTIFICATE.format,
        call_id=desk.recordings.rows[0]["call_id"],
        node="galwad-1",
        payload=ObjectFacts(1000, "0" * 64),
        header_sha256="0" * 64,
        reason="erasure",
        by="user:gwen",
        disposed="2026-11-30T10:00:00Z",
        audit=AuditPlace("galwad-1", 77, "0" * 64),
    )
    text = CERTIFICATE.sign(certificate, Ed25519PrivateKey.generate()).decode()
    for disposal, says in (
        (text, "30 Nov 2026, 10:00:00 UTC, by gwen: a person's right to erasure. Audit entry 77."),
        (text.replace("gwen", "huw"), "The certificate of its disposal was changed:"),
    ):
        desk.recordings.disposal = disposal
        search(found)
        found.locator(".recordings tbody button").first.press("Enter")
        expect(found.locator(".detail:visible dd").nth(1)).to_contain_text(says)
        expect(found.locator(".listen")).to_have_count(0)


def test_an_opened_recording_shows_until_when_it_is_kept(desk, found):
    for due, says in (
        (None, "a person disposes of it (category general)"),
        (1_796_083_200.0, "1 Dec 2026 (category general)"),
    ):
        desk.recordings.term = {"category": "general", "due": due}
        search(found)
        found.locator(".recordings tbody button").first.press("Enter")
        expect(found.locator(".detail:visible dd").nth(1)).to_have_text(says)


def test_an_opened_recording_is_asked_for_once(desk, found):
    desk.recordings.holds = [{"hold_id": 12, "reference": "claim 17", "since": 1.0}]
    button = found.locator(".recordings tbody button").first
    expect(button).to_have_attribute("aria-expanded", "false")
    for _ in range(3):
        button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    detail = found.locator(".detail:visible")
    expect(detail.locator("dd").nth(1)).to_have_text("12: claim 17")
    expect(detail.locator("li")).to_have_count(2)
    button.press("Enter")
    expect(detail).to_be_hidden()
    button.press("Enter")
    search(found)  # a later request, so that an earlier one would have arrived
    read = [path for _, path, _ in desk.asked if path.startswith("/recordings/2025")]
    assert [path.rpartition("/")[2] for path in read] == ["20251201-125003-abcdefgh", "gaps"]


def test_a_refused_recording_shows_the_reason_and_is_asked_for_again(desk, found):
    desk.recordings.refusal = (403, {"reason": "step_up_needed"})
    button = found.locator(".recordings tbody button").first
    button.press("Enter")
    expect(found.locator(".detail [role=alert]")).to_contain_text("Not done yet")
    assert not [path for _, path, _ in desk.asked if path.endswith("/gaps")]
    desk.recordings.refusal = None
    button.press("Enter")
    button.press("Enter")
    expect(found.locator(".detail li")).to_have_count(2)


EXPLAINED: list[dict[str, Any]] = [
    {"reason": "payment", "trigger": "page", "actor": "user:sian"},
    {"reason": "payment", "trigger": "dtmf", "actor": "phone:201", "proof": "manifest"},
    {"reason": "erased", "trigger": "api", "actor": "token:till", "then": "gap", "to_us": 250_000},
    {
        "reason": "transfer",
        "trigger": "refer",
        "actor": "system",
        "then": "end",
        "resumed_by": None,
    },
    {"reason": "fault", "trigger": "storage", "actor": "", "proof": "missing"},
    {"reason": "fault", "trigger": "new", "actor": "system", "to_us": 10_500_000},
    {
        "reason": "other",
        "trigger": "",
        "actor": "\u202ereversed",
        "proof": "manifest",
        "resumed_by": None,
    },
    {"reason": "captured-card", "trigger": "", "actor": "", "to_us": 7_265_000_000},
]


@pytest.mark.parametrize("language", ["en", "cy"])
@pytest.mark.parametrize(("signed", "unexplained_us"), [(True, 0), (False, 40_000)])
def test_gaps_are_explained_in_the_words_of_the_command_line(
    desk, opened, language, signed, unexplained_us
):
    edges = {"from_us": 0, "to_us": 65_000_000, "began": STARTED, "ended": STARTED + 65}
    proof = {"then": "recorded", "proof": "entry", "stopped_by": 41, "resumed_by": 42}
    gaps = [{**edges, **proof, **gap} for gap in EXPLAINED]
    header = {"call_id": "x", "started": STARTED, "talk_us": 1, "signed": signed}
    desk.recordings.explanation = {**header, "unexplained_us": unexplained_us, "gaps": gaps}
    desk.time_zone = "Europe/London"
    search(opened)
    opened.get_by_role("button", name={"en": "English", "cy": "Cymraeg"}[language]).click()
    opened.locator(".recordings tbody button").first.click()
    use_zone_of_response("Europe/London")
    texts = explanation_lines(desk.recordings.explanation, Texts(language))
    reset_time_zone()
    expect(opened.locator(".detail li")).to_have_text(texts[1:])


def test_calls_alarms_and_notes_to_write_stay_in_sight_beside_the_recordings(desk, opened):
    expect(opened.locator(".alarm-panel")).to_be_hidden()
    desk.alarm("switch.lost")
    expect(opened.locator(".alarm-panel li")).to_be_visible()
    answer(desk, MAIR)
    expect(opened.locator(".call")).to_be_visible()
    desk.put(state="wrapup", recording="ended", wrap_up_until=time.time() - 1)
    expect(opened.locator(".open-notes li")).to_be_visible()
    expect(opened.locator(".all-calls")).to_be_hidden()


@pytest.mark.parametrize("lost", ["recordings.js", "en?part=recordings"])
def test_a_failed_load_is_shown_and_tried_again(desk, browser_page, address, lost):
    fails = iter([True])
    browser_page.route(
        f"**/{lost}", lambda route: route.abort() if next(fails, False) else route.continue_()
    )
    browser_page.goto(address)
    button = browser_page.get_by_role("button", name="Recordings", exact=True)
    button.click()
    expect(browser_page.locator(".notice")).to_contain_text("The server cannot be reached.")
    expect(browser_page.get_by_role("region", name="All calls")).to_be_visible()
    button.click()
    expect(browser_page.get_by_role("heading", name="Recordings", level=1)).to_be_focused()


def test_after_a_stronger_sign_in_its_outcome_has_the_focus_beside_the_recordings(
    desk, browser_page, address
):
    def late(route):
        time.sleep(0.3)
        route.continue_()

    browser_page.route("**/en?part=recordings", late)
    browser_page.goto(f"{address}/#step-up=done,recordings")
    expect(browser_page.get_by_text("Your stronger sign-in counts now.")).to_be_focused()
    expect(browser_page.get_by_role("heading", name="Recordings", level=1)).to_be_visible()


def test_a_new_search_goes_before_more_of_the_last_one(desk, opened):
    desk.recordings.rows = [a_recording(number) for number in range(4, 0, -1)]
    desk.recordings.page = 2
    search(opened)
    desk.slow["POST"] = held = threading.Event()
    opened.get_by_label("Advisor (user name)").fill("sian")
    opened.get_by_role("button", name="Search").click()
    opened.get_by_role("button", name="Show more").click()
    held.set()
    expect(opened.locator(".recordings [aria-busy=false]")).to_be_visible()
    assert searches(desk) == [{}, {"advisor": "sian"}]
    expect(opened.locator(".recordings tbody tr:visible")).to_have_count(2)
    del desk.slow["POST"]
    desk.recordings.refusal = (503, {})
    opened.get_by_role("button", name="Show more").click()
    expect(opened.get_by_role("button", name="Show more").locator("+ .warning")).to_be_visible()


def test_the_recordings_are_in_welsh_after_the_change_of_language(found):
    found.locator(".recordings tbody button").first.click()
    expect(found.locator(".detail li").first).to_be_visible()
    found.get_by_role("button", name="Cymraeg").click()
    expect(found.get_by_role("heading", name="Recordiadau", level=1)).to_be_visible()
    assert cells(found, 0)[-1] == "Taliad 1 munud 5 eiliad, Nam 0.4 eiliad"
    expect(found.locator(".detail li").first).to_contain_text(
        "i mewn i'r alwad) peidiodd y recordio"
    )


def test_recordings_are_forgotten_at_the_sign_out(desk, found):
    found.get_by_role("button", name="Sign out").click()
    found.get_by_role("button", name="Sign in").wait_for()
    assert "+441970000123" not in found.content()


def test_a_hostile_number_line_or_actor_is_shown_as_text(desk, opened):
    hostile = "<img src=x onerror=window.hacked=1>"
    pause = a_pause(1, 2, actor=f"token:{hostile}", trigger=hostile)
    desk.recordings.rows = [a_recording(1, (pause,), number=hostile, line=hostile, advisor=hostile)]
    search(opened)
    opened.locator(".recordings tbody button").click()
    expect(opened.locator(".detail li")).to_contain_text(hostile)
    assert cells(opened, 0)[1:4] == [hostile] * 3
    assert opened.locator("img[src='x']").count() == 0
    assert opened.evaluate("window.hacked") is None


def test_a_supervisor_flags_a_recording_and_sees_why_it_may_not_be_heard(desk, found):
    since = STARTED + 3600
    found.get_by_role("button", name="12:50:03").click()
    flags = found.get_by_role("region", name="Flags")
    choices = flags.get_by_label("Flag", exact=True).locator("option")
    expect(choices).to_have_text(["sensitive", "third party present"])
    flags.get_by_label("Reason for the change").fill("medical details")
    desk.recordings.flags = [{"flag": "sensitive", "reason": "medical details", "since": since}]
    desk.recordings.purposes = []
    flags.get_by_role("button", name="Set the flag").click()
    expect(flags.get_by_text("sensitive, since 1 Dec 2025, ")).to_be_visible()
    call_id = desk.recordings.rows[0]["call_id"]
    sent = [(method, path, body) for method, path, body in desk.asked if "/flags/" in path]
    path = f"/recordings/{call_id}/flags/sensitive"
    assert sent == [("PUT", path, {"reason": "medical details"})]
    expect(found.get_by_text("You may not hear this recording")).to_be_visible()
    expect(found.get_by_label("Passphrase")).to_have_count(0)
    assert "sensitive" in cells(found, 0)[-1]
    expect(flags.get_by_role("button", name="Remove")).to_have_count(0)


def test_an_administrator_restricts_a_recording_and_removes_a_flag_only_with_a_reason(
    desk, found, address
):
    desk.me["role"] = "admin"
    desk.recordings.flags = [{"flag": "sensitive", "reason": "health", "since": STARTED}]
    found.reload()
    search(found)
    found.get_by_role("button", name="12:50:03").click()
    flags = found.get_by_role("region", name="Flags")
    remove = flags.get_by_role("button", name="Remove: sensitive")
    remove.click()
    assert [path for _, path, _ in desk.asked if "/flags/" in path] == []
    flags.get_by_label("Flag", exact=True).select_option("restricted")
    flags.get_by_label("Reason for the change").fill("wrong call")
    remove.click()
    expect(found.locator(".recordings [aria-busy=true]")).to_have_count(0)
    call_id = desk.recordings.rows[0]["call_id"]
    (sent,) = [each for each in desk.asked if "/flags/" in each[1]]
    path = f"/recordings/{call_id}/flags/sensitive"
    assert sent == ("DELETE", path, {"reason": "wrong call"})


def test_a_recording_with_all_flags_offers_none_to_set(desk, found):
    desk.recordings.flags = [
        {"flag": flag, "reason": "health", "since": STARTED}
        for flag in ("sensitive", "third-party")
    ]
    found.get_by_role("button", name="12:50:03").click()
    flags = found.get_by_role("region", name="Flags")
    expect(flags.get_by_label("Reason for the change")).to_be_visible()
    expect(flags.get_by_role("button", name="Set the flag")).to_have_count(0)
    flags.get_by_label("Reason for the change").fill("health")
    flags.get_by_label("Reason for the change").press("Enter")
    assert [path for _, path, _ in desk.asked if "/flags/" in path] == []
