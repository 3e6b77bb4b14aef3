"""The header fields that change how a phone rings: Alert-Info, Call-Info, Answer-Mode and others.

Such a field can make a phone answer by itself, so that a caller can listen to the room, and its URI
can make a phone fetch a file. So we never copy one, but write it again, with only the ring tone or
automatic answer that the settings allow (`Grants`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from telephony.b2bua.trust import Grants
from telephony.errors import SipParseError
from telephony.sip.message.grammar import find_parameter, parse_parameters, split_list

ALERTING: Final = frozenset(
    ["alert-info", "call-info", "answer-mode", "priv-answer-mode", "p-auto-answer"]
)
"""The lookup names of the header fields that `granted_alert` handles."""

_AUTO_ANSWER: Final = (
    "alert-autoanswer",
    "Auto Answer",
    "Auto-Answer",
    "AutoAnswer",
    "Ring Answer",
    "Ring-Answer",
    "RingAnswer",
    "Intercom",
)
"""The texts in Alert-Info that make common phones answer by themselves."""

_ELEMENT: Final = re.compile(r'(?:<([^<>]*)>|"([^"]*)"|([^;,<>"]+))?[ \t]*(;.*)?', re.DOTALL)
_ANSWER_MODE: Final = re.compile(r"(auto|manual)[ \t]*(;[ \t]*require)?", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]{1,4}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]+")
_NOWHERE: Final = "<http://127.0.0.1>"
"""The URI that we write into Alert-Info if only its parameter `info` has a meaning."""


def granted_alert(name: str, value: str, grants: Grants) -> str | None:
    """Return the value of an alerting field (lookup name) that may be sent, or None."""
    if name == "alert-info":
        return _joined(_ring_tone(element, grants) for element in _elements(value))
    if not grants.auto_answer:
        return None
    if name == "call-info":
        return _joined(_answer_after(element) for element in _elements(value))
    if name == "p-auto-answer":
        return "normal" if value.strip().lower() == "normal" else None
    mode = _ANSWER_MODE.fullmatch(value.strip())
    return None if mode is None else mode[1].capitalize() + (";require" if mode[2] else "")


def _joined(values: Iterable[str | None]) -> str | None:
    return ", ".join(value for value in values if value is not None) or None


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of a list: its URI, quoted text or plain words, and its parameters."""

    uri: str | None
    quoted: str | None
    words: str | None
    parameters: str

    @property
    def text(self) -> str:
        """The URI, the quoted text or the words."""
        return (self.uri or self.quoted or self.words or "").strip()


def _elements(value: str) -> list[_Element]:
    try:
        parts = split_list(value)
    except SipParseError:
        return []
    found = (_ELEMENT.fullmatch(part) for part in parts)
    return [_Element(each[1], each[2], each[3], each[4] or "") for each in found if each]


def _parameter(text: str, name: str) -> str | None:
    try:
        return find_parameter(parse_parameters(text), name)
    except SipParseError:
        return None


def _ring_tone(element: _Element, grants: Grants) -> str | None:
    """Return an element of Alert-Info with only the ring tone that it names, if it is granted."""
    known = (*grants.ring_tones, *(_AUTO_ANSWER if grants.auto_answer else ()))
    names = {name.lower(): name for name in known}
    tone = names.get(element.text.lower())
    if tone is not None:
        if element.uri is not None or tone.lower().startswith("urn:"):
            return f"<{tone}>"
        return tone if element.quoted is None else f'"{tone}"'
    tone = names.get((_parameter(element.parameters, "info") or "").strip().lower())
    if tone is None:
        return None
    delay = _parameter(element.parameters, "delay") or ""
    waits = f";delay={delay}" if grants.auto_answer and _DIGITS.fullmatch(delay) else ""
    written = tone if _PLAIN.fullmatch(tone) else f'"{tone}"'
    return f"{_NOWHERE};info={written}{waits}"


def _answer_after(element: _Element) -> str | None:
    """Return an element of Call-Info with only its parameter `answer-after`; None without it."""
    bare = f";{element.words}" if element.words else ""
    delay = _parameter(bare + element.parameters, "answer-after") or ""
    return f"{_NOWHERE};answer-after={delay}" if _DIGITS.fullmatch(delay) else None
