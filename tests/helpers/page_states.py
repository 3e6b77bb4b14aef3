"""Each state in which the page can be seen, for the checks by axe and for the screenshots.

The states are of the scripted desk in `helpers.page`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helpers.page import FakeDesk
from helpers.page_cases import CALLS, a_call, a_case
from helpers.page_holds import a_hold
from helpers.page_recordings import a_pause, a_recording
from helpers.page_retention import due
from helpers.page_users import a_user
from recording.archive.manifest import Interval

CALL = "20261125-093000-abcdefgh"
SECOND, THIRD, FOURTH = (f"20261125-09310{number}-hgfedcba" for number in range(3))
MAIR = {
    "person_id": "p1",
    "name": "Mair Evans",
    "language": "cy",
    "shared_warning": False,
    "kind": "person",
    "main_line": False,
}
OWEN = {**MAIR, "person_id": "p2", "name": "Owen Evans", "language": "en", "shared_warning": True}
HALL = {**MAIR, "person_id": "p3", "name": "Aberdrama Village Hall", "kind": "organisation"}
DETAILS = {
    "address": "12 Heol yr Eglwys, Aberdrama",
    "postcode": "LL00 0XX",
    "date_of_birth": "1951-03-01",
    "reference": "CT-4471902",
}
NUMBER = "01970 123456"
_STEP_S = 4
HOSTILE_NAME = "<img src=x onerror=alert(1)>\u202egnp.exe " + "W" * 10_000 + " 👩‍👩‍👧‍👦"


@dataclass(frozen=True)
class PageState:
    """One state of the page."""

    prepare: Callable[[FakeDesk], object]
    """Brings the desk into the state, before the page is opened."""
    shown: str
    """A selector of what is visible then."""
    disconnected: bool = False
    """True if the desk is cut off after the page has been opened."""
    fragment: str = ""
    """The part of the address after the path, such as "#admin"."""
    press: tuple[str, ...] = ()
    """The selectors of what is clicked, one after the other, after the page has been opened."""
    keys: tuple[str, ...] = ()
    """The keys that are pressed then."""


def ring(desk: FakeDesk, *people: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Let a call of these candidates ring."""
    status = ("not_found", "found", "several")[min(len(people), 2)]
    caller = {
        "status": status,
        "number_display": NUMBER,
        "candidates": list(people),
        "chosen": people[0]["person_id"] if len(people) == 1 else None,
        **more.pop("caller", {}),
    }
    return desk.put(caller=caller, since=time.time() - 4, **more)


def answer(desk: FakeDesk, *people: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Answer a call of these candidates and record it."""
    ring(desk, *people, **{key: more[key] for key in more.keys() & {"call_id", "caller", "line"}})
    facts = {"state": "answered", "advisor": "sian", "extension": "201", "recording": "recording"}
    times = {"since": time.time() - 95, "recording_since": time.time() - 95}
    more.pop("caller", None)
    return desk.put(**{**facts, **times, **more})


def confirm(desk: FakeDesk, **more: Any) -> dict[str, Any]:
    """Answer a call and confirm its caller."""
    caller = {"confirmed": True, "outcome": "confirmed", "details": DETAILS}
    pages = [{"directory": "CRM", "url": "https://crm.example/contact/7"}]
    return answer(desk, MAIR, caller={**caller, "pages": pages}, **more)


def pause(desk: FakeDesk, seconds: float = 20, *holders: str, **more: Any) -> dict[str, Any]:
    """Pause the recording of a call since so many seconds."""
    held = list(holders or ("page:sian",))
    since = time.time() - seconds
    return confirm(desk, recording="paused", recording_since=since, holders=held, **more)


ACTS = {"hangup": "", "hold": "", "transfer": ""}


def ask_for_data(desk: FakeDesk) -> None:
    """Let a caller ask for their data a second time."""
    confirm(desk, cases=[{"case_id": 3, "kind": "complaint"}])


def hold(desk: FakeDesk) -> None:
    """Hold a call on the page, where callers can be handed over in Welsh."""
    desk.welsh = desk.dials = True
    confirm(desk, state="held", acts={"hangup": "", "resume": "", "transfer": ""})


def transfer(desk: FakeDesk) -> None:
    """Transfer a call to a department, which has not answered."""
    desk.welsh = True
    acts = {**ACTS, "transfer": "transferring"}
    confirm(desk, acts=acts, transferring="department", transfers_begun=1)


def fail_to_transfer(desk: FakeDesk) -> None:
    """Get the caller back from a transfer that failed."""
    confirm(desk, acts=ACTS, transfer_failed=486, transfers_begun=1)


def place(desk: FakeDesk) -> None:
    """Talk with a number that the advisor has called."""
    facts = {"state": "answered", "extension": "900", "recording": "recording"}
    times = {"since": time.time() - 95, "recording_since": time.time() - 95}
    desk.put(called=NUMBER, line="Outside line", **facts, **times)


def several_calls(desk: FakeDesk) -> None:
    """Talk on one call, hold one, finish one and let one ring."""
    confirm(desk)
    answer(desk, OWEN, call_id=SECOND, line="Housing", state="held", started=time.time() - 300)
    answer(desk, HALL, call_id=THIRD, line="Waste", state="wrapup", recording="ended")
    ring(desk, HALL, call_id=FOURTH, line="Planning")


def supervise(desk: FakeDesk) -> None:
    """Let a supervisor see the calls of others."""
    desk.me["role"] = "supervisor"
    other = {"mine": False, "recording_since": time.time() - 61, "recording": "recording"}
    desk.put(state="answered", advisor="owen", **other)
    late = {"recording": "paused", "recording_since": time.time() - 400}
    held = {"line": "Housing", "state": "answered", "advisor": "mair"}
    desk.put(**{**other, "call_id": SECOND, "holders": ["page:mair"], **held, **late})
    desk.put(**{**other, "call_id": THIRD, "line": "Waste", "recording": "not_started"})


def supervise_teams(desk: FakeDesk) -> None:
    """Let a supervisor see advisors of two teams, and one of none."""
    supervise(desk)
    desk.texts.put("teams", ("housing", "Housing", "Tai"), ("tax", "Council Tax", "Treth Gyngor"))
    desk.be("sian", team="housing")
    desk.be("huw", team="tax", state="break", on_break=True, reason="lunch")
    desk.be("eleri", team="housing", state="on_call", line="Housing")
    desk.be("owen")


def sign_out(desk: FakeDesk) -> None:
    """Ask for a sign-in."""
    desk.signed_in = False


def need_second_factor(desk: FakeDesk) -> None:
    """Sign in a user who must set up a second factor."""
    desk.me["needs_second_factor"] = True


def nothing(_: FakeDesk) -> None:
    """Leave the desk without a call."""


def be_without_phone(desk: FakeDesk) -> None:
    """Open the page of an advisor whose phone is not registered."""
    desk.be("sian", state="no_phone", devices=0)


def search_recordings(desk: FakeDesk) -> None:
    """Let a supervisor find recordings with each kind of gap, and one without a known caller."""
    desk.me |= {"user": "ceri", "role": "supervisor", "extension": None}
    transfer = a_pause(400, 600, reason="transfer", trigger="refer")
    fault = a_pause(300, 304, reason="fault", trigger="storage", actor="system")
    erased = a_pause(25, 30, reason="erased")
    card = a_pause(200, 215, reason="captured-card", trigger="", actor="")
    desk.recordings.holds = [{"hold_id": 12, "reference": "claim 17", "since": 1.0}]
    desk.recordings.rows = [
        a_recording(9, (a_pause(60, 125), fault, transfer)),
        a_recording(8, number="", talk_us=65_000_000, line="Housing", advisor="huw"),
        a_recording(7, (erased, a_pause(30, 120), card), interrupted=True, raw_size=5),
        a_recording(6, number="", line="", advisor="", extension=""),
        a_recording(5, (a_pause(60, 125),), [Interval(120_000_000, 300_000_000)]),
    ]


def administer_nothing(desk: FakeDesk) -> None:
    """Let an administrator see a desk without phones, lines and troubles."""
    desk.me |= {"user": "gwen", "role": "admin", "extension": None}
    desk.users.put(a_user("gwen", "admin", rights=["purge"], signed_in=time.time() - 900))


def administer(desk: FakeDesk) -> None:
    """Let an administrator see users, undelivered notes and events, and texts."""
    administer_nothing(desk)
    desk.users.issuer = "https://login.example/v2.0"
    lines = ["Council Tax", "Housing"]
    phone: dict[str, Any] = {"extension": "201", "has_phone": True, "lines": lines, "tokens": 1}
    subject = "8f4e2c1a-0b6d-4c3e-9a57-1d2e3f405162"
    desk.users.put(
        a_user("sian", signed_in=time.time() - 7200, subjects=[subject], **phone),
        a_user("huw", extension="202", language="cy"),
        a_user("mair", "supervisor", disabled=True),
        a_user("pay", "machine", rights=["payments"], tokens=2),
        a_user("a-name-" + "w" * 57),
    )
    desk.user_tokens = [a_token("pay", "spring-2027"), a_token("pay", "autumn", used=False)]
    desk.undelivered = [an_undelivered_note()]
    event = {"id": "e1", "call_id": CALL, "kind": "answered", "created": time.time() - 4000}
    desk.events = [
        {**event, **waits(3, "the receiver answers 503")},
        {**event, "id": "e2", "kind": "ended", **waits(0, "the receiver answers 400", "refused")},
    ]
    desk.texts.put(
        "lines", ("Council Tax", "Council Tax", "Treth Gyngor"), ("Housing", "Housing", "")
    )
    desk.texts.put("purposes", ("waste-1", "Missed collection", "Casgliad a fethwyd"))
    desk.texts.put("breaks", ("break", "Short break", "Seibiant byr"), ("lunch", "Lunch", "Lunch"))
    desk.texts.put("teams", ("housing", "Housing", "Tai"))
    desk.texts.put("no_note_reasons", ("test", "Test call", "Galwad brawf"))


def plan_retention(desk: FakeDesk) -> None:
    """Let an administrator see rules that wait for approval, and recordings that are due."""
    administer_nothing(desk)
    desk.retention.propose()
    desk.retention.due = [due("general", 412, retained=3, restricted=1), due("highways", 9)]


def doubt_clock(desk: FakeDesk) -> None:
    """Let an administrator see a clock in doubt, before any rules are in force."""
    administer_nothing(desk)
    desk.retention.in_force, desk.retention.kept = None, {}
    desk.retention.doubt = "the clock was set by +7200 s"


def retain(desk: FakeDesk) -> None:
    """Let an administrator see legal holds: one for review, one whose release was asked for."""
    administer_nothing(desk)
    desk.recordings.rows = [a_recording(place) for place in range(2)]
    asked = {"asked_by": "nia", "asked_for": "claim settled"}
    desk.holds.put(
        a_hold(12, number="+441632960001", **asked),
        a_hold(13, "Complaint 4", review="2026-11-01", owner=""),
        a_hold(11, "Claim 3", released=1_795_000_000.0, recordings=0),
    )


def keep_cases(desk: FakeDesk) -> None:
    """Let an administrator see two requests, one of them overdue, with searches and calls."""
    administer_nothing(desk)
    desk.cases.put(a_case(3, representative="Ann Evans", authority="daughter"))
    desk.cases.put(a_case(2, "Complaint 7", kind="complaint", name="", received="2026-10-01"))
    step = {"position": 1, "kind": "noted", "day": "2026-11-26", "note": "called back"}
    desk.cases.steps = [{**step, "outcome": "", "actor": "user:gwen", "at": 1.0, "withdrawn": ""}]
    desk.cases.calls = [a_call(CALLS[0]), a_call(CALLS[1], excluded="of Owen", person="crm:7")]
    desk.cases.people = [
        {
            "person": "crm:1042",
            "name": "Mair Evans",
            "kind": "person",
            "reference": "CT-4471902",
            "numbers": ["01970 123456"],
        }
    ]
    desk.cases.answer_searches("POST", {"text": "Mair Evans"})


def waits(attempts: int, reason: str, state: str = "waiting") -> dict[str, Any]:
    """Return what has become of the attempts to deliver something."""
    return {"attempts": attempts, "reason": reason, "state": state, "due": time.time() + 60}


def an_undelivered_note() -> dict[str, Any]:
    """Return a contact note that the CRM does not have."""
    facts = {"call_id": CALL, "version": 1, "saved": 1, "line": "Waste", "advisor": "sian"}
    return {**facts, **waits(2, "status 422", "refused")}


def a_token(user: str, name: str, *, used: bool = True) -> dict[str, Any]:
    """Return a token of a user, as an administrator sees it."""
    now = time.time()
    return {
        "id": f"{name}-id",
        "user": user,
        "name": name,
        "rights": None,
        "created": now - 86_400,
        "created_by": "os:root",
        "expires": now + 300 * 86_400 if used else None,
        "last_used": now - 60 if used else None,
        "address": "192.0.2.7" if used else "",
    }


ADMIN = "#admin"
SIAN = "li:has(> div > #user-sian)"
BREAKS = ".text-list:has(#admin-texts-breaks)"
CARD = ".call:not([hidden])"
STATES = {
    "sign-in": PageState(sign_out, "#signin-user"),
    "second-factor": PageState(need_second_factor, ".qr"),
    "idle": PageState(nothing, ".idle"),
    "no-phone": PageState(be_without_phone, ".presence[data-state=no_phone]"),
    "ringing-found": PageState(lambda desk: ring(desk, MAIR), ".person"),
    "ringing-several": PageState(lambda desk: ring(desk, MAIR, OWEN, HALL), ".choice"),
    "ringing-unknown": PageState(ring, CARD),
    "ringing-withheld": PageState(
        lambda desk: ring(desk, caller={"status": "withheld", "number_display": None}), CARD
    ),
    "ringing-unavailable": PageState(
        lambda desk: ring(desk, caller={"status": "unavailable"}), CARD
    ),
    "ringing-hostile": PageState(lambda desk: ring(desk, {**MAIR, "name": HOSTILE_NAME}), CARD),
    "recording": PageState(lambda desk: answer(desk, MAIR), CARD),
    "confirmed": PageState(confirm, ".details"),
    "paused": PageState(pause, CARD),
    "paused-long": PageState(lambda desk: pause(desk, 260), ".forgotten .warning:visible"),
    "paused-hour": PageState(lambda desk: pause(desk, 4000), CARD),
    "paused-by-payment-page": PageState(lambda desk: pause(desk, 20, "payment:pay"), ".holders"),
    "fault": PageState(lambda desk: confirm(desk, recording="fault"), CARD),
    "disconnected": PageState(confirm, CARD, disconnected=True),
    "request": PageState(ask_for_data, ".data-request form:visible", keys=("Shift+F7",)),
    "wrap-up": PageState(lambda desk: confirm(desk, state="wrapup", recording="ended"), CARD),
    "ringing-answerable": PageState(
        lambda desk: ring(desk, MAIR, acts={"answer": ""}), ".phone .answer"
    ),
    "held-on-page": PageState(hold, ".phone .hold"),
    "transferring": PageState(transfer, ".phone .note"),
    "transfer-failed": PageState(fail_to_transfer, ".failed"),
    "placed": PageState(place, ".lookup"),
    "key-without-effect": PageState(nothing, ".notice", keys=("F8",)),
    "several-calls": PageState(several_calls, ".strip"),
    "supervisor": PageState(supervise, ".all-calls"),
    "supervisor-teams": PageState(supervise_teams, ".advisors .team"),
    "recordings": PageState(
        search_recordings,
        ".recordings .detail li",
        fragment="#recordings",
        press=(
            ".recordings button[type=submit]",
            ".recordings tr:first-child button",
            ".recordings .filters summary",
        ),
    ),
    "retention": PageState(
        plan_retention,
        ".retention .ask:visible",
        fragment="#retention",
        press=(
            "button[data-t='admin.retention.effect.show']",
            "button[data-t='admin.retention.approve']",
        ),
    ),
    "retention-clock": PageState(doubt_clock, "#retention-clock:visible", fragment="#retention"),
    "holds": PageState(
        retain,
        ".retention form:visible",
        fragment="#holds",
        press=(
            "tbody tr:has-text('12:') button",
            "button[data-t='admin.holds.recordings.show']",
            "summary[data-t='admin.holds.change']",
        ),
    ),
    "cases": PageState(
        keep_cases,
        "#cases-exclude-why:visible",
        fragment="#cases",
        press=(
            "tbody tr:has-text('3:') button",
            "button[data-t='admin.cases.calls.show']",
            "summary[data-t='admin.cases.withdraw']",
        ),
    ),
    "administration": PageState(administer, ".admin-texts tbody", fragment=ADMIN),
    "administration-idle": PageState(administer_nothing, ".admin-texts h3", fragment=ADMIN),
    "administration-new": PageState(
        administer, ".new-user", fragment=ADMIN, press=(".admin-users > .search button",)
    ),
    "administration-user": PageState(
        administer,
        ".user-panel .ask:visible",
        fragment=ADMIN,
        press=(f"{SIAN} .user-head button", f"{SIAN} button[data-t='admin.disable']"),
    ),
    "administration-texts": PageState(
        administer,
        ".text-form:visible",
        fragment=ADMIN,
        press=(
            f"{BREAKS} button[data-t='admin.change']",
            f"{BREAKS} button[data-t='admin.texts.add']",
        ),
    ),
    "administration-secret": PageState(
        administer,
        ".secrets:visible",
        fragment=ADMIN,
        press=(
            f"{SIAN} .user-head button",
            f"{SIAN} button[data-t='admin.sip_password']",
            f"{SIAN} button[data-t='admin.yes.sip_password']",
        ),
    ),
    "administration-machine": PageState(
        administer,
        ".subjects:visible",
        fragment=ADMIN,
        press=(
            "li:has(> div > #user-pay) .user-head button",
            "button[data-t='admin.tokens.show']:visible",
        ),
    ),
}


def open_state(page: Any, address: str, desk: FakeDesk, state: PageState) -> None:
    """Open the page in a state, in a Playwright page, and wait until it shows it."""
    state.prepare(desk)
    page.goto(f"{address}/{state.fragment}")
    if desk.signed_in and not desk.me.get("needs_second_factor"):
        page.locator("#link[data-state=live]").wait_for()
    for pressed in state.press:
        page.locator(pressed).click()
    for key in state.keys:
        page.locator("#main").press(key)
    page.locator(state.shown).first.wait_for()
    if state.disconnected:
        desk.cut()
        page.locator("#link[data-state=lost]").wait_for()


def advance(page: Any, desk: FakeDesk, seconds: float) -> None:
    """Advance the stopped clock of a page with a call, with a message from the desk in each step.

    Without one, the page would take the connection for lost after 5 seconds.
    """
    while seconds > 0:
        step = min(seconds, _STEP_S)
        page.clock.run_for(step * 1_000)
        seconds -= step
        line = f"Line {int(desk.calls[CALL]['line'].partition('Line ')[2] or 0) + 1}"
        desk.put(line=line)
        page.get_by_text(line, exact=True).first.wait_for()
