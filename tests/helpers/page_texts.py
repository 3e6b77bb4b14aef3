"""The lists of texts of the scripted desk, as its administrators change them."""

from __future__ import annotations

from typing import Any

_PLACES = {
    "lines": "[[routes]] line, line_cy",
    "purposes": "[[contact_notes.purposes]]",
    "breaks": "[presence] break_reasons",
    "no_note_reasons": "",
    "teams": "",
}
_FIXED = {"lines", "no_note_reasons"}


class FakeTexts:
    """The lists by their names. Each change gives a list another version."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Any]] = {name: self._list(name) for name in _PLACES}
        self.initial: dict[str, list[dict[str, str]]] = {}
        self.faults: dict[str, str] = {}
        """The reason for which the desk refuses the entries of a list, by its name."""

    def put(self, name: str, *entries: tuple[str, str, str]) -> None:
        """Set the entries of a list in the settings: the code, the English and the Welsh text."""
        self.initial[name] = [
            dict(zip(("code", "en", "cy"), each, strict=True)) for each in entries
        ]
        self.lists[name] = self._list(name)
        self.lists[name]["entries"] = self.initial[name]

    def change(
        self, name: str, entries: list[dict[str, str]], user: str = "mair"
    ) -> dict[str, Any]:
        """Replace the entries of a list, as an administrator does."""
        version = f"{int(self.lists[name]['version'], 16) + 1:016x}"
        facts = {"from_settings": False, "changed": 1_800_000_000.0, "changed_by": user}
        self.lists[name] = {**self.lists[name], **facts, "version": version, "entries": entries}
        return self.lists[name]

    @property
    def readable(self) -> dict[str, Any]:
        """The answers to the requests that only read, by their paths."""
        each = {f"/texts/{name}": found for name, found in self.lists.items()}
        return {"/texts": list(self.lists.values()), **each}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer a request of gwen that changes a list."""
        name = path.removeprefix("/texts/")
        if body["version"] != self.lists[name]["version"]:
            return 409, {"error": "no", "reason": "changed"}
        if name in self.faults:
            return 422, {"error": "no", "reason": self.faults[name]}
        if method == "PUT":
            return 200, self.change(name, body["entries"], "gwen")
        self.change(name, self.initial.get(name, []))
        self.lists[name] |= {"from_settings": True, "changed": None, "changed_by": ""}
        return 200, self.lists[name]

    @staticmethod
    def _list(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "version": f"{0:016x}",
            "settings": _PLACES[name],
            "from_settings": True,
            "changed": None,
            "changed_by": "",
            "fixed": name in _FIXED,
            "longest": {"breaks": 40, "purposes": 200}.get(name, 100),
            "entries": [],
        }
