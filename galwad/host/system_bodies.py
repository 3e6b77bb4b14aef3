"""The response body about the health of the node."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class NodeHealth(BaseModel):
    """The health of the node's parts.

    `status` is "ok" if the database, the switch and the finaliser can be reached and `peers_down`
    is 0. Otherwise it is "degraded". `database`, `switch` and `finaliser` are true if the desk can
    reach that part. `live_calls` is the number of calls that have not ended. `peers_down` is the
    number of monitored peers, such as trunks, that do not respond or that refuse our registration.
    `version` is the version of the software, or null if the request is not from a signed-in user.
    """

    status: Literal["ok", "degraded"]
    version: str | None
    database: bool
    switch: bool
    finaliser: bool
    live_calls: int
    peers_down: int
