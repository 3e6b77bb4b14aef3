"""The body for the state of the node."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class NodeHealth(BaseModel):
    """The state of database, switch and finaliser; `status` is `ok` or `degraded`.

    `live_calls` counts calls in progress, without those in wrap-up. `peers_down` counts trunks and
    targets that do not answer, or refuse our registration.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: bool
    switch: bool
    finaliser: bool
    live_calls: int
    peers_down: int
