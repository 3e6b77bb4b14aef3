"""A scripted desk: it serves the real page, and plays the API's part in memory."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from functools import cache, cached_property
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from galwad.api.app import create_api
from galwad.api.system import page_texts
from galwad.calls.alarms.kinds import kind_of
from galwad.page.stream import BEAT_S
from galwad.people.totp import QUIET, drawn
from helpers.page_cases import FakeCases
from helpers.page_holds import FakeHolds
from helpers.page_recordings import FakeRecordings
from helpers.page_retention import FakeRetention
from helpers.page_texts import FakeTexts
from helpers.page_users import FakeUsers

PASSWORD = "correct horse battery"
CODE = "123456"
"""The one code of an app that the scripted desk accepts."""
RECOVERY_CODES = [f"k7qd-m2ye-4fxa-zol{letter}" for letter in "abcdefghij"]
FACTOR = "/me/second-factor"
NEW_FACTOR = {"since": 1_800_000_000.0, "recovery_left": 10, "recovery_used": None}
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
}
COMMENT_S = BEAT_S
"""As the real desk: after 5 s without a word the page takes the line for lost."""

_CHANGED = ("/users", "/texts")
"""The paths of what administrators read and change."""
_COUNTS = ("calls", "answered", "missed", "abandoned", "refused", "transferred", "pauses", "gaps")
_TIMES = ("mean_waiting_s", "longest_waiting_s", "mean_talk_s", "longest_talk_s")
NO_FIGURES = {
    "since": 0.0,
    "until": 0.0,
    "total": dict.fromkeys((*_COUNTS, *_TIMES), 0),
    "by_line": [],
    "by_hour": [],
    "by_language": [],
}


class FakeDesk:
    """The state that tests set, and what the page has asked."""

    signed_in = True
    switch = True
    pause_reminder = 180
    pause_alarm = 300
    waiting_warning = 20
    pseudo = False
    refusing = 0
    unreadable = 0
    reason = ""
    other_holder = False
    silence: threading.Event | None = None
    """Set when the streams may send again; None if they were never silent."""
    unrecorded: frozenset[str] = frozenset()
    """The ids of the calls that are not recorded: a pause changes nothing in them."""
    versions = 0
    free_text = True
    searchable = False
    break_reminder = 3600
    tokens_allowed = True
    provider = ""
    """The address of the provider's page; empty if the provider is down."""
    provider_sign_out = ""
    notification_names = False
    utc_offset = 0
    time_zone = ""
    """The name of the centre's time zone; empty if the desk does not know it."""
    dials = False
    welsh = False
    embed_origins: tuple[str, ...] = ()
    approved = False
    """Whether the panel that waits has been approved."""
    same_network = True
    site = "https://crm.example"
    """The site around the panel that waits."""
    faster = ""
    """The supervisor who takes an alarm just before the page does."""

    def __init__(self) -> None:
        self.calls: dict[str, dict] = {}
        self.me = {
            "user": "sian",
            "role": "advisor",
            "language": "en",
            "extension": "201",
            "idle": 1800,
            "until": time.time() + 36000,
            "changes_password": True,
        }
        self.ways = {"provider": False, "passwords": "everyone"}
        self.purposes: list[dict] = []
        self.undelivered: list[dict] = []
        self.events: list[dict] = []
        """The call events that were not delivered."""
        self.texts = FakeTexts()
        self.line_names: dict[str, str] = {}
        """The Welsh names of lines, by their names in English."""
        self.users = FakeUsers()
        self.user_tokens: list[dict] = []
        """The tokens of all users, which an administrator sees."""
        self.closed: list[dict] = []
        self.drafts: dict[str, dict] = {}
        """The draft of each call's note, as the signed-in user sees it."""
        self.alarms: dict[str, dict] = {}
        self.earlier: list[dict] = []
        self.earlier_failed: list[str] = []
        self.figures: dict = NO_FIGURES
        self.today: dict = {"since": 0, "calls": [], "missed": [], "transfers": [], "cut": False}
        self.presence: dict[str, dict] = {}
        """The presence of each user who takes calls; empty for a page without presence."""
        self.break_reasons = [
            {"code": "break", "en": "Short break", "cy": "Seibiant byr"},
            {"code": "lunch", "en": "Lunch", "cy": "Cinio"},
        ]
        self.former_reasons: list[dict] = []
        self.no_note_reasons: list[dict] = []
        """The words of the reasons for no note, if an administrator has changed them."""
        self.factor = {
            "since": None,
            "recovery_left": 0,
            "recovery_used": None,
            "required": False,
        }
        """The second factor of the signed-in user, who has none while `since` is None."""
        self.searched: list[dict] = []
        self.slow: dict[str, threading.Event] = {}
        """Requests of these methods come in when their event is set, or at the test's end.

        The browser's own interception will not do for this: what is pressed just after it was
        asked for can overtake it, and the request goes out.
        """
        self.tokens: list[dict] = []
        self.asked: list[tuple[str, str, dict]] = []
        self.read: list[tuple[str, str, dict]] = []
        """What the page has only read, which it does at times of its own."""
        self._streams: list[queue.Queue] = []
        self._telling = threading.Lock()  # what is pushed is in the snapshot, or comes after it
        self._gate = threading.Event()
        self._gate.set()

    def put(self, **pop) -> dict:
        """Set a call and tell the page; what is not given stays as it is."""
        call_id = pop.get("call_id", "20261125-093000-abcdefgh")
        before = self.calls.get(call_id, a_pop(call_id))
        caller = {**before["caller"], **pop.pop("caller", {})}
        draft = self.drafts.get(call_id)
        after = {**before, "draft": draft, **pop, "caller": caller}
        answers = after["state"] == "answered" and before["state"] != "answered"
        if "talking_since" not in pop and (answers or after["state"] != "answered"):
            after["talking_since"] = time.time() if answers and after["mine"] else None
        self.calls[call_id] = after
        self.push("call", self.calls[call_id])
        return self.calls[call_id]

    def alarm(self, kind: str, call_id: str | None = None, **more) -> dict:
        """Report an alarm, as the real desk does: a second time it is counted."""
        alarm_id = f"{kind}-{call_id}"
        before = self.alarms.get(alarm_id, an_alarm(alarm_id, kind, call_id))
        line = self.calls[call_id]["line"] if call_id in self.calls else ""
        count = before["count"] + 1
        self.alarms[alarm_id] = {**before, "line": line, "count": count, **more}
        self.push_alarm(kind, call_id, self.alarms[alarm_id])
        return self.alarms[alarm_id]

    def push_alarm(self, kind: str, call_id: str | None = None, alarm: dict | None = None) -> None:
        """Send the report of an alarm to every page, or of what ends one."""
        event = {"kind": kind, "call_id": call_id, "since": time.time(), "alarm": alarm}
        self.push("alarm", event)

    def handle(self, alarm_id: str, **changes) -> dict:
        """Change the handling of an alarm, and send it to every page."""
        self.alarms[alarm_id] = {**self.alarms[alarm_id], **changes}
        self.push("alarm_changed", self.alarms[alarm_id])
        return self.alarms[alarm_id]

    def may_see(self, presence: dict) -> bool:
        """Return whether the signed-in user may see this presence."""
        return self.me["role"] != "advisor" or presence["user"] == self.me["user"]

    def be(self, user: str, **facts) -> dict:
        """Set a user's presence and tell the page; what is not given stays as it is."""
        before = self.presence.get(user, a_presence(user))
        if facts.get("state", before["state"]) != before["state"]:
            facts = {"since": time.time(), **facts}
        self.presence[user] = {**before, **facts}
        if self.may_see(self.presence[user]):
            self.push("presence", {"advisors": [self.presence[user]], "gone": []})
        return self.presence[user]

    def choose(self, user: str, body: dict, set_by: str = "") -> dict:
        """Begin or end a user's break, as the real desk does."""
        away = body["state"] == "break"
        return self.be(
            user,
            state=body["state"],
            on_break=away,
            reason=body["reason"] if away else "",
            set_by=set_by if away else "",
        )

    def close(self, call_id: str) -> None:
        """Take a call away."""
        del self.calls[call_id]
        self.push("closed", {"call_id": call_id})

    def push(self, kind: str, data: dict) -> None:
        """Send an event to every page."""
        with self._telling:
            for stream in self._streams:
                stream.put((kind, data))

    def page_texts(self) -> dict:
        """The lists of texts, as the snapshot and the event `texts` have them."""
        names = {line: {"en": line, "cy": welsh} for line, welsh in self.line_names.items()}
        return {
            "line_names": names,
            "break_reasons": self.break_reasons,
            "former_reasons": self.former_reasons,
            "no_note_reasons": self.no_note_reasons,
            "purposes": self.purposes,
            "free_text": self.free_text,
            "teams": self.texts.lists["teams"]["entries"],
        }

    def cut(self) -> None:
        """Break every stream and take no new one until `mend`."""
        self._gate.clear()
        self.push("", {})

    def fall_silent(self) -> None:
        """Send nothing more on any stream, and leave them open, until `speak`."""
        self.silence = threading.Event()

    def speak(self) -> None:
        """Send again what `fall_silent` has held back."""
        if self.silence is not None:
            self.silence.set()

    def mend(self) -> None:
        """Take streams again."""
        self._gate.set()

    def wait_to_speak(self) -> None:
        """Wait while the desk is silent."""
        if self.silence is not None:
            self.silence.wait()

    def listen(self) -> queue.Queue | None:
        """A stream that begins with a snapshot; None while the line is cut."""
        if not self._gate.is_set():
            return None
        stream: queue.Queue = queue.Queue()
        with self._telling:
            snapshot = {
                "calls": list(self.calls.values()),
                "alarms": [each for each in self.alarms.values() if each["state"] != "closed"],
                "me": self.me,
                "now": time.time(),
                "switch": self.switch,
                "pause_reminder": self.pause_reminder,
                "pause_alarm": self.pause_alarm,
                "waiting_warning": self.waiting_warning,
                "searchable": self.searchable,
                "presence": [each for each in self.presence.values() if self.may_see(each)],
                "break_reminder": self.break_reminder,
                "utc_offset": self.utc_offset,
                "notification_names": self.notification_names,
                "texts": self.page_texts(),
                "dials": self.dials,
                "embed_origins": self.embed_origins,
                "welsh": self.welsh,
            }
            stream.put(("snapshot", snapshot))
            self._streams.append(stream)
        return stream

    @property
    def waiting(self) -> dict[str, dict]:
        """The answers about a command line and about a panel that wait for an approval."""
        panel = {
            "site": self.site,
            "address": "192.0.2.7",
            "same_network": self.same_network,
        }
        return {"/command-lines/show": {"address": "192.0.2.7"}, "/panels/show": panel}

    @property
    def readable(self) -> dict[str, dict | list]:
        """The answers to the requests that only read, by their paths."""
        earlier = {"contacts": self.earlier, "failed": self.earlier_failed}
        return {
            "/contacts/closed": self.closed,
            "/contacts/undelivered": self.undelivered,
            "/webhooks/undelivered": self.events,
            **({} if self.refusing else self.waiting),
            "/users": self.users.listed,
            **self.texts.readable,
            "/tokens": self.user_tokens,
            "/today": self.today,
            FACTOR: self.factor,
            "/figures?when=today": self.figures,
            **{f"/calls/{call_id}": call for call_id, call in self.calls.items()},
            **{f"/calls/{call_id}/earlier": earlier for call_id in self.calls},
        }

    @cached_property
    def recordings(self) -> FakeRecordings:
        """The recordings that the page can search."""
        return FakeRecordings()

    @cached_property
    def retention(self) -> FakeRetention:
        """The rules of retention, and the plan by them."""
        return FakeRetention()

    @cached_property
    def cases(self) -> FakeCases:
        """The register of requests and complaints."""
        return FakeCases()

    @cached_property
    def holds(self) -> FakeHolds:
        """The legal holds."""
        return FakeHolds()

    def answer(  # noqa: C901, PLR0911, PLR0912 - one for each kind of request
        self, method: str, path: str, body: dict
    ) -> tuple[int, dict | list | bytes | None]:
        """The API, but for the events."""
        if path in {"/me/password", "/login", "/logout", "/sign-in", "/sign-in/begin"}:
            return self.answer_sign_in(path, body)
        if path in {"/panels", "/panels/session"}:
            return self.answer_panel(path)
        if path.startswith("/me"):
            return self.answer_me(method, path, body)
        reads = method == "GET" or not path.startswith(_CHANGED)
        if reads and path in self.readable:
            return (self.unreadable, {}) if self.unreadable else (200, self.readable[path])
        if self.refusing:
            return self.refusing, {"error": "no", "reason": self.reason}
        if path.startswith(_CHANGED):
            owner = self.texts if path.startswith("/texts") else self.users
            return owner.answer(method, path, body)
        if path.startswith(("/webhooks", "/tokens")):
            return self.administer(path)
        if path.startswith("/recordings"):
            return self.recordings.answer(path, body)
        if path.startswith("/retention"):
            return self.retention.answer(method, path, body, str(self.me["user"]))
        if path.startswith("/cases"):
            return self.cases.answer(method, path, body)
        if path.startswith("/holds"):
            return self.holds.answer(method, path, body, str(self.me["user"]))
        if path.startswith("/alarms"):
            return self.answer_alarms(path, body)
        if path.endswith(("/phone", "/phone/dial", "/approve")):
            return 204, None  # what the act has changed comes as an event, if the test sends one
        if path.endswith("/contact/draft"):
            return self.draft(path.split("/")[2], body)
        return 200, self.carry_out(method, path, body)

    def administer(self, path: str) -> tuple[int, dict | None]:
        """Revoke a token, or decide about an event, which then is in the list no more."""
        self.events = [each for each in self.events if f"/{each['id']}/" not in path]
        self.user_tokens = [each for each in self.user_tokens if not path.endswith(each["id"])]
        return 204, None

    def carry_out(self, method: str, path: str, body: dict) -> dict:
        """Change a presence or a call, and return the new one."""
        if path.startswith("/presence"):
            name, me = path.removeprefix("/presence").strip("/"), str(self.me["user"])
            return self.choose(name or me, body, me if name else "")
        _, _, call_id, part = path.split("/", 3)
        return self.change(call_id, method, part, body)

    def draft(self, call_id: str, body: dict) -> tuple[int, dict]:
        """Store a draft, or refuse it, by the rules of `NoteDrafts`."""
        current = self.drafts.get(call_id)
        if call_id not in self.calls:
            return 404, {"error": "no"}
        if current is None or current["window"] != body["window"]:
            if body["version"] != (current["version"] if current else 0):
                return 409, {"error": "no", "reason": "draft_conflict"}
        elif body["edit"] <= current["edit"]:
            return 200, {"call_id": call_id, "version": current["version"]}
        self.versions += 1
        self.drafts[call_id] = {**body, "version": self.versions}
        self.put(call_id=call_id, draft=self.drafts[call_id])
        return 200, {"call_id": call_id, "version": self.versions}

    def answer_alarms(self, path: str, body: dict) -> tuple[int, dict | list]:
        """List the alarms, or handle one as the real desk would."""
        if path == "/alarms":
            return 200, list(self.alarms.values())
        alarm_id, action = path.split("/")[2:]
        user, now = self.me["user"], time.time()
        if action == "take" and self.faster:
            self.alarms[alarm_id].update(state="taken", taken_by=self.faster, taken=now)
            return 409, {"error": f"{self.faster} has taken this alarm"}
        changes = {
            "take": {"state": "taken", "taken_by": user, "taken": now},
            "release": {"state": "open", "taken_by": "", "taken": 0},
            "close": {"state": "closed", "closed_by": user, "closed": now, **body},
        }
        return 200, self.handle(alarm_id, **changes[action])

    def answer_me(self, method: str, path: str, body: dict) -> tuple[int, dict | None]:
        """Answer a request about the person who is signed in, their second factor or tokens."""
        if path.startswith(FACTOR):
            return self.answer_second_factor(path.removeprefix(FACTOR), body)
        if path == "/me" or not self.signed_in:
            return (200, self.me) if self.signed_in else (401, {"error": "not signed in"})
        if method == "GET":
            return 200, {"allowed": self.tokens_allowed, "tokens": self.tokens}
        if method == "DELETE":
            self.tokens = [each for each in self.tokens if not path.endswith(each["id"])]
            return 204, None
        if any(each["name"] == body["name"] for each in self.tokens):
            return 409, {"error": "the name is taken"}
        token = {
            "id": f"{len(self.tokens):016x}",
            "user": self.me["user"],
            "name": body["name"],
            "rights": ["pause"],
            "created": time.time(),
            "created_by": f"user:{self.me['user']}",
            "expires": time.time() + 365 * 86_400,
            "last_used": None,
            "address": "",
        }
        self.tokens.append(token)
        return 201, {"secret": f"galwad_{'x' * 43}", "token": token}

    def change_password(self, body: dict) -> tuple[int, dict | None]:
        """Answer as the real desk, which refuses more passwords than this one."""
        if body["current"] != "correct horse battery":
            return 403, {"error": "no"}
        return (204, None) if len(body["new"]) > 11 else (422, {"error": "no"})

    def answer_sign_in(self, path: str, body: dict) -> tuple[int, dict | None]:
        """Answer a request about the session, or about a new one."""
        if path == "/me/password":
            return self.change_password(body)
        if path == "/sign-in":
            return 200, self.ways
        if path == "/sign-in/begin":
            return (200, {"url": self.provider}) if self.provider else (503, {"error": "no"})
        if path == "/logout":
            self.signed_in = False
            away = self.provider_sign_out
            return (200, {"url": away}) if away else (204, None)
        if path == "/login":
            self.signed_in = body.get("password") == PASSWORD
            refused = self.signed_in and self.factor["since"] and self.code_refusal(body)
            if refused:
                self.signed_in = False
                return 401, {"error": "no", "reason": refused}
        return (200, self.me) if self.signed_in else (401, {"error": "no"})

    def answer_panel(self, path: str) -> tuple[int, dict]:
        """Answer a panel that asks for a sign-in, as the real desk does."""
        if self.refusing:
            return self.refusing, {"error": "no", "reason": self.reason}
        if path == "/panels":
            page = f"{self.ways.get('page', '')}/#panel"
            return 201, {"secret": "s", "code": "BCDF-GHJK", "page": page, "interval_s": 0.05}
        if not self.approved:
            return 409, {"error": "no", "reason": "waiting"}
        self.signed_in = True
        return 200, self.me

    def code_refusal(self, body: dict) -> str:
        """Return the reason for which the code in a request is refused; "" if it is right."""
        code = body.get("code", "")
        if code in {CODE, *RECOVERY_CODES}:
            return self.reason
        return "code_wrong" if code else "code_needed"

    def answer_second_factor(self, path: str, body: dict) -> tuple[int, dict | None]:
        """Answer as the real desk does, but accept only `CODE` and `RECOVERY_CODES`."""
        refusal = self.factor_refusal(path, body)
        if refusal is not None:
            return refusal
        if path == "":
            return 200, self.factor
        if path == "/setup":
            size, drawing = drawn("otpauth://totp/Galwad:sian")
            return 200, {"secret": SECRET, "qr": {"size": size + 2 * QUIET, "path": drawing}}
        outcomes: dict[str, tuple[dict, dict | None]] = {
            "/seen": ({"recovery_used": None}, None),
            "/remove": ({"since": None, "recovery_left": 0}, None),
        }
        set_up = NEW_FACTOR, {"recovery_codes": RECOVERY_CODES}
        changes, answer = outcomes.get(path, set_up)
        self.factor.update(changes)
        self.me["needs_second_factor"] = False
        return (204, None) if answer is None else (200, answer)

    def factor_refusal(self, path: str, body: dict) -> tuple[int, dict] | None:
        """Return the refusal of a request about the second factor; None if it is accepted."""
        if not self.signed_in:
            return 401, {"error": "no"}
        if path == "/confirm":
            reason = self.code_refusal(body)
            return (422, {"error": "no", "reason": reason}) if reason else None
        if path in {"", "/seen"} or self.me.get("needs_second_factor"):
            return None
        if body.get("password") != PASSWORD:
            return 403, {"error": "no"}
        reason = self.code_refusal(body) if self.factor["since"] else ""
        return (403, {"error": "no", "reason": reason}) if reason else None

    def change(self, call_id: str, method: str, part: str, body: dict) -> dict:
        """Change a call as the real desk and switch would, and return their answer."""
        if part == "search":
            if self.searched:
                found = {
                    "status": "several",
                    "candidates": self.searched,
                    "chosen": None,
                    "searched": True,
                }
                self.put(call_id=call_id, caller=found)
            return {"found": len(self.searched), "failed": []}
        if part in {"retry", "discard"}:
            self.undelivered = [each for each in self.undelivered if each["call_id"] != call_id]
            return {}
        if part == "payment":
            holders = set(self.calls[call_id]["holders"]) | (
                {"other"} if self.other_holder else set()
            )
            own = f"page:{self.me['user']}"
            if method == "DELETE" and own not in holders and "page" in holders:
                own = "page"
            (holders.add if method == "PUT" else holders.discard)(body.get("holder", own))
            state = "paused" if holders else "recording"
            if call_id in self.unrecorded:
                state = "not_started"
            self.put(
                call_id=call_id,
                recording=state,
                recording_since=time.time(),
                holders=sorted(holders),
            )
            return {"state": state, "durable": True, "calls": [call_id]}
        if part == "confirm":
            fine = body["outcome"] in {"confirmed", "volunteered"}
            details = {"address": "1 Heol Fawr", "postcode": "LL00 0XX"} if fine else {}
            chosen = body["person_id"] if fine else None
            caller = {
                "confirmed": fine,
                "outcome": body["outcome"],
                "chosen": chosen,
                "details": details,
            }
            return self.put(call_id=call_id, caller=caller)
        if part == "cases":
            cases = self.calls[call_id]["cases"]
            opened = {"case_id": 3 + len(cases), "kind": body["kind"]}
            return self.put(call_id=call_id, cases=[*cases, opened])
        if part == "contact/not-needed":
            self.drafts.pop(call_id, None)
            self.close(call_id)
        else:
            self.drafts.pop(call_id, None)
            self.put(call_id=call_id, contact=body, contact_saved=True, draft=None)
        return {"call_id": call_id, "version": 1}


def an_alarm(alarm_id: str, kind: str, call_id: str | None) -> dict:
    """An alarm that was not reported yet."""
    return {
        "id": alarm_id,
        "kind": kind,
        "severity": kind_of(kind).severity,
        "state": "open",
        "call_id": call_id,
        "line": "",
        "first": time.time(),
        "latest": time.time(),
        "count": 0,
        "detail": "",
        "taken_by": "",
        "taken": 0,
        "closed": 0,
        "closed_by": "",
        "remark": "",
    }


def a_presence(user: str) -> dict:
    """An advisor who has just become available."""
    return {
        "user": user,
        "extension": "201",
        "state": "available",
        "since": time.time(),
        "on_break": False,
        "reason": "",
        "set_by": "",
        "devices": 1,
        "page": True,
        "line": "",
        "ringing": False,
        "team": "",
    }


def a_pop(call_id: str) -> dict:
    """A call that has just begun to ring."""
    return {
        "call_id": call_id,
        "line": "Council Tax",
        "state": "ringing",
        "since": time.time(),
        "started": time.time(),
        "advisor": None,
        "extension": None,
        "mine": True,
        "called": None,
        "talking_since": None,
        "recording": "not_started",
        "recording_since": 0,
        "durable": True,
        "holders": [],
        "caller": {
            "status": "looking_up",
            "number_display": None,
            "candidates": [],
            "chosen": None,
            "confirmed": False,
            "outcome": None,
            "details": {},
            "position": 1,
            "directories": [],
            "pages": [],
            "name": None,
        },
        "contact_saved": False,
        "contact": None,
        "draft": None,
        "wrap_up_until": None,
        "recording_link": None,
        "cases": [],
        "acts": {},
        "transferring": "",
        "transfers_begun": 0,
        "transfer_failed": 0,
    }


@cache
def api_description() -> dict[str, Any]:
    """Return the description of the real desk's API."""
    return create_api().openapi()


class Handler(BaseHTTPRequestHandler):
    """HTTP for a `FakeDesk`."""

    desk: FakeDesk
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """The page, its files, its texts, the events."""
        root = files("galwad.page")
        if self.path in {"/", "/embedded"}:
            self.send(200, root.joinpath("static/index.html").read_bytes(), "text/html")
        elif self.path == "/api-reference":
            self.send(200, root.joinpath("static/api_reference.html").read_bytes(), "text/html")
        elif self.path == "/api/v1/openapi.json":
            self.send_json(200, api_description())
        elif self.path.startswith("/static/"):
            name = Path(self.path).name
            body = root.joinpath("static", name).read_bytes()
            self.send(200, body, TYPES[Path(name).suffix])
        elif self.path.startswith("/api/v1/strings/"):
            url = urlsplit(self.path)
            texts = json.loads(page_texts(url.path[-2:], url.query.removeprefix("part=")) or b"{}")
            if self.desk.pseudo:
                texts = {key: f"⟦{key}⟧" for key in texts}
            self.send_json(200, texts)
        elif self.path == "/api/v1/events":
            self.events()
        else:
            self.api()

    def do_POST(self) -> None:
        """A request to the API."""
        self.api()

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - http.server's names

    def api(self) -> None:
        """Answer, and note what was asked."""
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.removeprefix("/api/v1")
        held = self.desk.slow.get(self.command)
        if held is not None:
            held.wait()
        reads = self.command == "GET" and path in self.desk.readable
        asked = self.desk.read if reads else self.desk.asked
        asked.append((self.command, path, body))
        status, value = self.desk.answer(self.command, path, body)
        if isinstance(value, bytes):
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            self.send(status, value[first : last + 1], "application/octet-stream")
        else:
            self.send_json(status, value)

    def events(self) -> None:
        """Server-sent events until the desk cuts the line."""
        stream = self.desk.listen() if self.desk.signed_in else None
        if stream is None:
            self.send_json(503 if self.desk.signed_in else 401, {"error": "no"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                told = self.next_of(stream)
                self.desk.wait_to_speak()
                if told is None:
                    return
                self.wfile.write(told)
                self.wfile.flush()

    @staticmethod
    def next_of(stream: queue.Queue) -> bytes | None:
        """Return the next part of an event stream; None at its end, a comment after `COMMENT_S`."""
        try:
            kind, data = stream.get(timeout=COMMENT_S)
        except queue.Empty:
            return b": still here\n\n"
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode() if kind else None

    def send_json(self, status: int, value: object) -> None:
        """One JSON answer."""
        self.send(status, b"" if value is None else json.dumps(value).encode(), "application/json")

    def send(self, status: int, body: bytes, kind: str) -> None:
        """One answer, under the policy that the real desk sets."""
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", CSP)
        if self.desk.time_zone:
            self.send_header("X-Galwad-Time-Zone", self.desk.time_zone)
        if self.path.startswith("/static/"):
            self.send_header("Cache-Control", "max-age=3600")  # for the next page of the profile
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
