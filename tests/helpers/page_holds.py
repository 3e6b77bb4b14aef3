"""The scripted desk's legal holds."""

from __future__ import annotations

import re
from typing import Any

OPENED = 1_790_000_000.0
"""The time at which each hold was opened: 21 September 2026."""


def a_hold(hold_id: int, reference: str = "Claim 2026/17", **facts: Any) -> dict[str, Any]:
    """Return a hold as the API sends it."""
    request: dict[str, Any] = {"asked_by": "", "asked_for": ""}
    state: dict[str, Any] = {"number": None, "opened": OPENED, "released": None, "version": 1}
    hold = {"hold_id": hold_id, "reference": reference, "reason": "a fall in Bridge Street"}
    return {
        **hold,
        "owner": "gwen",
        "review": "2099-06-01",
        "recordings": 57,
        **state,
        **request,
        **facts,
    }


class FakeHolds:
    """The holds of a desk, each with its requests to release single recordings."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.requests: list[dict[str, str]] = []
        self.conflict = False
        """True if the desk refuses each change for a reason that the holds do not show."""
        self.disposed = 0
        """The number of recordings that match a search but were disposed of."""

    def put(self, *rows: dict[str, Any]) -> None:
        """Store holds."""
        self.rows |= {row["hold_id"]: row for row in rows}

    def answer(
        self, method: str, path: str, body: dict[str, Any], user: str
    ) -> tuple[int, dict[str, Any] | None]:
        """Answer as the real desk does for an administrator."""
        if path == "/holds":
            facts = {name: body[name] for name in ("reference", "reason", "owner", "review")}
            self.put(a_hold(max(self.rows, default=0) + 1, recordings=2, **facts))
            return 201, self.retained(max(self.rows))
        if path.startswith("/holds?"):
            rows = self.rows.values()
            shown = [row for row in rows if row["released"] is None or path.endswith("=true")]
            return 200, {"rows": sorted(shown, key=lambda row: row["review"])}
        hold = self.rows[int(re.findall(r"\d+", path)[0])]
        if method == "GET":
            return 200, {"hold": hold, "requests": self.requests}
        if self.conflict or body.get("version", hold["version"]) != hold["version"]:
            return 409, {"error": "refused"}
        return self.change(hold, path, body, user)

    def change(
        self, hold: dict[str, Any], path: str, body: dict[str, Any], user: str
    ) -> tuple[int, dict[str, Any] | None]:
        """Change a hold, or the recordings that it retains."""
        hold["version"] += 1
        if path.endswith("/release"):
            return self.release(hold, body, user)
        self.requests = []
        hold |= {"asked_by": "", "asked_for": ""}
        if path.endswith("/recordings"):
            hold["recordings"] += 2
            return 200, self.retained(hold["hold_id"])
        hold |= {name: value for name, value in body.items() if name != "version"}
        return 204, None

    def retained(self, hold_id: int) -> dict[str, int]:
        """Return how many recordings were retained."""
        counts = {"retained": 2, "before": 0, "disposed": self.disposed}
        return {"hold_id": hold_id, **counts}

    def release(
        self, hold: dict[str, Any], body: dict[str, Any], user: str
    ) -> tuple[int, dict[str, Any]]:
        """Note a request, or release what another person has asked for."""
        call_id = body.get("call_id")
        if call_id:
            found = [each for each in self.requests if each["call_id"] == call_id]
            request = {"call_id": call_id, "asked_by": user, "reason": body["reason"]}
            self.requests = [each for each in self.requests if each not in found]
            if found:
                hold["recordings"] -= 1
            else:
                self.requests.append(request)
            return 200, {"released": bool(found)}
        if not hold["asked_by"]:
            hold |= {"asked_by": user, "asked_for": body["reason"]}
            return 200, {"released": False}
        hold |= {"released": OPENED + 86_400, "asked_by": "", "recordings": 0}
        return 200, {"released": True}
