"""The scripted desk's rules of retention, its plan of disposals, and its clock in doubt."""

from __future__ import annotations

import re
import time
from typing import Any

DAY_S = 86_400.0
NOON = 1_798_718_400.0
"""The time of the scripted server's clock: 31 December 2026, 12:00 in Greenwich."""


def a_rule(category: str, keep: str = "12 months", **facts: Any) -> dict[str, Any]:
    """Return a rule as the API sends it."""
    counted_from = None if keep == "by hand" else "call"
    lists: dict[str, Any] = {"lines": [], "purposes": [], "flags": []}
    rule = {"category": category, "keep": keep, "counted_from": counted_from, "minimum": None}
    return {**rule, **lists, **facts}


def a_version(number: int, *rules: dict[str, Any], approved_by: str = "") -> dict[str, Any]:
    """Return a version of the rules that waits for approval."""
    facts = {"stored": NOON - 9 * DAY_S, "in_force": None, "approved_by": approved_by}
    return {"version": number, "rules": list(rules), **facts}


def due(category: str, recordings: int, **kept: int) -> dict[str, Any]:
    """Return the recordings of a category that are due in a period."""
    counts = {"retained": 0, "restricted": 0, "incidents": 0, **kept}
    return {"category": category, "recordings": recordings, **counts, "first": NOON - DAY_S}


def effect(category: str, recordings: int, **counts: int) -> dict[str, Any]:
    """Return the effect of the version that waits on the recordings of a category."""
    return {"category": category, "recordings": recordings, "earlier": 0, "later": 0, "due": 0} | (
        counts
    )


HIGHWAYS = a_rule(
    "highways",
    "6 years",
    counted_from="financial-year",
    minimum="30 days",
    lines=["Highways", "Waste"],
)


class FakeRetention:
    """The versions of the rules, and what is due by them."""

    def __init__(self) -> None:
        rules = a_rule("claims", "by hand", purposes=["Claim"], flags=["sensitive"]), HIGHWAYS
        self.in_force: dict[str, Any] | None = {
            **a_version(3, *rules, a_rule("general", "2 years")),
            "in_force": NOON - 99 * DAY_S,
        }
        self.waiting: dict[str, Any] | None = None
        self.effects: list[dict[str, Any]] = []
        self.doubt = ""
        self.due: list[dict[str, Any]] = []
        self.kept = {"claims": 17, "highways": 4_310, "general": 61_204}
        self.runs: list[dict[str, Any]] = []
        """The answers to the next requests to dispose of recordings."""
        self.busy = False
        """True while the desk disposes of recordings."""

    def answer(
        self, method: str, path: str, body: dict[str, Any], user: str
    ) -> tuple[int, dict[str, Any] | None]:
        """Answer as the real desk does for an administrator with the right `purge`."""
        if found := re.fullmatch(r"/retention\?days=(\d+)", path):
            return 200, self.plan(int(found[1]))
        if path == "/retention/preview":
            version = None if self.waiting is None else self.waiting["version"]
            return 200, {"version": version, "categories": self.effects}
        if self.busy:
            return 409, {"error": "recordings are being disposed of, or rules approved"}
        if path == "/retention/clock":
            self.doubt = ""
            return 204, None
        if path == "/retention/run":
            return 200, self.runs.pop(0)
        return self.approve(body["version"], f"user:{user}")

    def plan(self, days: int) -> dict[str, Any]:
        """Return the rules and the plan."""
        return {
            "in_force": self.in_force,
            "waiting": self.waiting,
            "clock_in_doubt": self.doubt,
            "until": NOON + days * DAY_S,
            "due": self.due,
            "kept": [{"category": name, "recordings": n} for name, n in self.kept.items()],
        }

    def approve(self, version: int, actor: str) -> tuple[int, dict[str, Any]]:
        """Approve the version that waits."""
        waiting = self.waiting
        if waiting is None or waiting["version"] != version:
            return 409, {"error": "this version does not wait for approval"}
        if waiting["approved_by"] == actor:
            return 409, {"error": "you have approved this version already"}
        if not waiting["approved_by"]:
            waiting["approved_by"] = actor
            return 200, {"in_force": False}
        self.in_force, self.waiting = {**waiting, "in_force": time.time()}, None
        return 200, {"in_force": True}

    def propose(self) -> None:
        """Let a version wait that keeps some recordings for a shorter time."""
        general = a_rule("general", "12 months", counted_from="month")
        rules = {**HIGHWAYS, "lines": ["Highways"]}, a_rule("waste", "5 years", lines=["Waste"])
        self.waiting = a_version(4, *rules, general)
        self.effects = [
            effect("highways", 2_100),
            effect("waste", 2_210, earlier=2_210),
            effect("general", 61_221, earlier=61_204, later=17, due=18_033),
        ]
