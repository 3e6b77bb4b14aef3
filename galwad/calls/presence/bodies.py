"""Bodies of requests, responses and events for the presence of advisors."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from galwad.host.bodies import RequestBody, ShortText

PresenceName: TypeAlias = Literal["on_call", "break", "wrap_up", "offline", "no_phone", "available"]


class AdvisorPresence(BaseModel):
    """The presence of one user.

    `since` is the start of `state`. `on_break` is true from the start of the user's break to its
    end, also during a call; `reason` is the code of its reason, and `set_by` the supervisor who has
    set it, or "". `devices` is the number of registered devices of the user's phone; null while the
    switch is not connected. `page` is true if a page of the user is open. `line` is the line on
    which the user talks, or "". `ringing` is true if the user's phone rings and the user does not
    talk. `team` is the code of the user's team, or "".
    """

    model_config = ConfigDict(frozen=True)

    user: str
    extension: str | None
    state: PresenceName
    since: float
    on_break: bool
    reason: str = ""
    set_by: str = ""
    devices: int | None = None
    page: bool = False
    line: str = ""
    ringing: bool = False
    team: str = ""


class PresenceNews(BaseModel):
    """An event with each presence that has changed, as far as the signed-in user may see it.

    `gone` are the users who are no longer listed.
    """

    advisors: list[AdvisorPresence]
    gone: list[str] = Field(default_factory=list)


class PresenceChoice(RequestBody):
    """A request to become available or to begin a break. A break needs a reason."""

    state: Literal["available", "break"]
    reason: ShortText = ""
