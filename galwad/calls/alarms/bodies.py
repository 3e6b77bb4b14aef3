"""Bodies of requests and responses about alarms, which are also the data of stream events."""

from __future__ import annotations

from pydantic import BaseModel

from galwad.calls.alarms.alarm_store import AlarmState, StoredAlarm
from galwad.calls.alarms.kinds import Severity
from galwad.host.bodies import RequestBody, ShortText


class AlarmView(BaseModel):
    """An alarm and its handling.

    `first` and `latest` are the times of its first and its latest report, and `count` is the number
    of reports. `line` is the line of its call. If its state is "closed" and `closed_by` is empty,
    it has ended by itself. `detail` and the handling are only for supervisors.
    """

    id: str
    kind: str
    severity: Severity
    state: AlarmState
    call_id: str | None
    line: str
    first: float
    latest: float
    count: int
    detail: str = ""
    taken_by: str = ""
    taken: float = 0.0
    closed: float = 0.0
    closed_by: str = ""
    remark: str = ""

    @classmethod
    def of(cls, alarm: StoredAlarm, *, supervises: bool) -> AlarmView:
        """Return an alarm with only the facts that a user may see."""
        view = cls(
            id=alarm.alarm_id,
            kind=alarm.kind,
            severity=alarm.traits.severity,
            state=alarm.state,
            call_id=alarm.call_id,
            line=alarm.line,
            first=alarm.first,
            latest=alarm.latest,
            count=alarm.count,
            closed=alarm.closed,
        )
        if not supervises:
            return view
        handling = {name: getattr(alarm, name) for name in _FOR_SUPERVISORS}
        return view.model_copy(update=handling)


_FOR_SUPERVISORS = ("detail", "taken_by", "taken", "closed_by", "remark")


class AlarmEvent(BaseModel):
    """A report of an alarm, sent as an event.

    `kind` is the kind of the alarm, such as `payment.forgotten`. `alarm` is None for an event that
    ends alarms, such as `switch.connected`.
    """

    kind: str
    call_id: str | None = None
    since: float
    alarm: AlarmView | None = None


class CloseAlarm(RequestBody):
    """A request to close an alarm, perhaps with a remark."""

    remark: ShortText = ""
