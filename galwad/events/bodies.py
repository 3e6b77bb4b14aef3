"""The bodies of responses about call events that were not delivered."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class UndeliveredEventView(BaseModel):
    """A call event that was not delivered, without its content.

    `created` is the time at which it was written. An event that is "waiting" is sent again at the
    time `due`; one that is "refused" is not, because its content is removed. `reason` says why the
    last attempt failed. Times are in seconds since 1970.
    """

    id: str
    call_id: str
    kind: str
    state: Literal["waiting", "refused"]
    created: float
    attempts: int
    due: float
    reason: str
