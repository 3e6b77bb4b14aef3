"""The answer body for the health of the node."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class NodeHealth(BaseModel):
    """The health of the node's parts.

    `status` is "ok" if database, switch and finaliser can be reached and `peers_down` is 0,
    otherwise "degraded". `database`, `switch` and `finaliser` are true if the desk can reach this
    part. `live_calls` is the number of calls in progress, without calls in wrap-up. `peers_down` is
    the number of trunks and targets that do not answer, or that refuse our registration.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: bool
    switch: bool
    finaliser: bool
    live_calls: int
    peers_down: int
