"""The scripted desk's register of requests and complaints."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import date
from typing import Any, cast

from galwad.cases.deadlines import CaseStepError, DatedStep, check_step, deadlines
from galwad.cases.rules import CaseKind, StepKind

TODAY = date(2026, 12, 3)
CALLS = [f"20261125-0930{place:02}-hgfedcba" for place in range(3)]
KINDS: tuple[StepKind, ...] = ("scope-asked", "scope-given", "extended", "noted", "closed")


def a_case(case_id: int, reference: str = "SAR 2026/4", **facts: Any) -> dict[str, Any]:
    """Return the stored facts of a case."""
    return {
        "case_id": case_id,
        "kind": "access",
        "reference": reference,
        "name": "Mair Evans",
        "representative": "",
        "authority": "",
        "details": "all calls",
        "channel": "letter",
        "language": "cy",
        "call_id": "",
        "received": "2026-11-25",
        "owner": "gwen",
        "opened": 1_790_000_000.0,
        "version": 1,
        **facts,
    }


def a_call(call_id: str, **facts: Any) -> dict[str, Any]:
    """Return a call that was found for a case."""
    return {
        "call_id": call_id,
        "started": 1_795_599_000.0,
        "searches": [1],
        "excluded": "",
        "line": "Housing",
        "advisor": "sian",
        "talk_s": 61.0,
        "recording": "recorded",
        "flags": [],
        "person": "",
        "note": None,
        **facts,
    }


class FakeCases:
    """The cases of a desk, whose deadlines are those of the real one on 3 December 2026."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.steps: list[dict[str, Any]] = []
        self.searches: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.people: list[dict[str, Any]] = []
        self.page = 100

    def put(self, *rows: dict[str, Any]) -> None:
        """Store cases. All steps, searches and calls are those of each of them."""
        self.rows |= {row["case_id"]: row for row in rows}

    def valid(self) -> list[DatedStep]:
        """Return the steps that count."""
        counting = [each for each in self.steps if not each["withdrawn"]]
        return [DatedStep(each["kind"], date.fromisoformat(each["day"])) for each in counting]

    def row(self, case: dict[str, Any]) -> dict[str, Any]:
        """Return a case with its deadlines, as the API sends it."""
        kind, received = cast("CaseKind", case["kind"]), date.fromisoformat(case["received"])
        found = asdict(deadlines(kind, received, self.valid(), TODAY))
        days = {name: str(day) if isinstance(day, date) else day for name, day in found.items()}
        return {**case, **days}

    def detail(self, case: dict[str, Any]) -> dict[str, Any]:
        """Return a case with its steps and searches."""
        return {
            "case": self.row(case),
            "possible": [kind for kind in KINDS if not self.misfit(case, kind, TODAY)],
            "steps": self.steps,
            "searches": self.searches,
            "calls": len(self.calls),
            "excluded": sum(bool(each["excluded"]) for each in self.calls),
        }

    def misfit(self, case: dict[str, Any], kind: StepKind, day: date) -> str:
        """Return why a step does not fit; "" if it does."""
        try:
            received = date.fromisoformat(case["received"])
            check_step(case["kind"], received, self.valid(), DatedStep(kind, day), TODAY)
        except CaseStepError as error:
            return str(error)
        return ""

    def answer(
        self, method: str, path: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any] | None]:
        """Answer as the real desk does for an administrator."""
        if path == "/cases":
            known = a_case(0)
            case_id = max(self.rows, default=0) + 1
            self.put(a_case(case_id, **{name: body[name] for name in known if name in body}))
            return 201, self.detail(self.rows[case_id])
        if path.startswith("/cases?"):
            rows = [self.row(each) for each in self.rows.values()]
            shown = [row for row in rows if row["state"] != "closed" or path.endswith("=true")]
            return 200, {"rows": shown}
        case = self.rows[int(re.findall(r"\d+", path)[0])]
        if "/calls" in path:
            return self.answer_calls(method, path, body)
        if "/searches" in path:
            return self.answer_searches(method, body)
        if method == "GET":
            return 200, self.detail(case)
        return self.change(case, path, body)

    def change(
        self, case: dict[str, Any], path: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Take or withdraw a step, or change the owner."""
        if path.count("/") == 2:
            if body["version"] != case["version"]:
                return 409, {"error": "refused"}
            case |= {"owner": body["owner"], "version": case["version"] + 1}
            return 200, self.detail(case)
        if path.endswith("/withdraw"):
            self.steps[body["position"] - 1]["withdrawn"] = body["reason"]
            return 200, self.detail(case)
        day = date.fromisoformat(body["day"])
        if body["version"] != case["version"] or self.misfit(case, body["kind"], day):
            return 409, {"error": "refused"}
        case["version"] += 1
        facts = {name: body[name] or "" for name in ("kind", "day", "note", "outcome")}
        entered = {"position": len(self.steps) + 1, "actor": "user:gwen", "at": 1.0}
        self.steps.append({**entered, **facts, "withdrawn": ""})
        return 200, self.detail(case)

    def answer_searches(
        self, method: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any] | None]:
        """Search, or remove a search."""
        if method == "DELETE":
            self.searches.pop()
            return 204, None
        places = [
            {"place": "directory: CRM", "spelling": body.get("text", ""), "found": 2, "failed": ""},
            {"place": "directory: HR", "spelling": "", "found": 0, "failed": "no-text-search"},
            {"place": "recordings", "spelling": "+441970123456", "found": 3, "failed": ""},
        ]
        made = {
            "position": len(self.searches) + 1,
            "text": body.get("number") or body["text"],
            "person": body.get("person", ""),
            "places": places,
            "found": 3,
            "actor": "user:gwen",
            "at": 1_795_700_000.0,
        }
        self.searches.append(made)
        people = [] if body.get("number") else self.people
        return 200, {"search": made, "people": people, "new": 3}

    def answer_calls(
        self, method: str, path: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any] | None]:
        """Return a page of the calls, or exclude some."""
        if method == "PUT":
            for each in self.calls:
                if each["call_id"] in body["call_ids"]:
                    each["excluded"] = body["reason"]
            return 204, None
        begin = int(path.partition("after=")[2] or 0)
        end = begin + self.page
        after = str(end) if end < len(self.calls) else None
        return 200, {"rows": self.calls[begin:end], "after": after}
