"""The body of a request for an event, in the format that the receiver understands.

`generic` is Galwad's own JSON document. `zammad` is Zammad's generic CTI interface, and `sipgate`
the push API of sipgate.io, which several CRM systems understand. `zammad` and `sipgate` have only
three kinds of events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from galwad.events.call_events import ANONYMOUS, WebhookEvent
from galwad.settings.desk import ALL_EVENTS, EventName, WebhookFormat

_NAMES: Final = {"ringing": "newCall", "answered": "answer", "ended": "hangup"}


@dataclass(frozen=True, slots=True)
class WebhookBody:
    """The body of a request, and its media type."""

    content_type: str
    content: bytes


def known_kinds(form: WebhookFormat) -> frozenset[EventName]:
    """Return the kinds of events that a format can express."""
    return frozenset(kind for kind in ALL_EVENTS if form == "generic" or kind in _NAMES)


def request_body(event: WebhookEvent, form: WebhookFormat) -> WebhookBody:
    """Return the body for an event; raise KeyError if the format does not know its kind."""
    if form == "generic":
        return WebhookBody("application/json", _json(_generic(event)))
    if form == "zammad":
        return WebhookBody("application/json", _json(_zammad(event)))
    return WebhookBody("application/x-www-form-urlencoded", _form(_sipgate(event)))


def _generic(event: WebhookEvent) -> dict[str, object]:
    call = event.call
    data: dict[str, object] = {
        "call_id": call.call_id,
        "started": _time(call.started),
        "line": call.line,
        "direction": _direction(event),
        "caller": call.caller,
        "called": call.called or None,
        "advisor": call.advisor or None,
        "extension": call.extension or None,
    }
    if event.kind == "ringing":
        data["ringing"] = [
            {"extension": party.extension or None, "advisor": party.user or None}
            for party in event.ringing
        ]
    elif event.kind == "transferred":
        data["destination"] = event.destination
    elif event.kind == "ended":
        data["answered"] = event.answered
    elif event.kind == "sealed":
        data |= {"talk_seconds": event.talk_us / 1_000_000, "interrupted": event.interrupted}
    return {
        "id": event.event_id,
        "type": f"call.{event.kind}",
        "timestamp": _time(event.at),
        "data": data,
    }


def _zammad(event: WebhookEvent) -> dict[str, object]:
    fields: dict[str, object] = {**_common(event)}
    users = [party.user for party in event.ringing if party.user]
    if event.call.outgoing:
        return fields
    if event.kind == "ringing" and users:
        fields["user"] = users
    if event.call.advisor:
        fields["user"] = event.call.advisor
    if event.call.extension:
        # Zammad searches for the agent by telephone number, login and id, in this order.
        fields["answeringNumber"] = event.call.advisor or event.call.extension
    return fields


def _sipgate(event: WebhookEvent) -> list[tuple[str, str]]:
    call, fields = event.call, [*_common(event).items(), ("xcid", event.call.call_id)]
    if event.kind == "ringing":
        for party in event.ringing:
            fields.append(("user[]", party.user))
            fields += [(name, party.extension) for name in ("userId[]", "fullUserId[]")]
    elif call.extension:
        if event.kind == "answered":
            fields.append(("user", call.advisor))
            fields += [(name, call.extension) for name in ("userId", "fullUserId")]
        fields.append(("answeringNumber", call.extension))
    return fields


def _common(event: WebhookEvent) -> dict[str, str]:
    fields = {
        "event": _NAMES[event.kind],
        "from": _bare(event.call.caller or "") or ANONYMOUS,
        "to": _bare(event.call.called),
        "direction": _direction(event),
        "callId": event.call.call_id,
    }
    if event.kind == "ended":
        fields["cause"] = "normalClearing" if event.answered else "cancel"
    return fields


def _bare(number: str) -> str:
    return number.removeprefix("+")


def _direction(event: WebhookEvent) -> str:
    return "out" if event.call.outgoing else "in"


def _time(at: float) -> str:
    """Return a time in the form of RFC 3339."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _form(fields: list[tuple[str, str]]) -> bytes:
    return urlencode(fields).encode()
