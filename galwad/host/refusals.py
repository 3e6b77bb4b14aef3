"""The audit entries of refused requests: who tried what without the right to do it.

A refusal (`NotPermittedError`) is entered once in `_SAME_S` seconds, and at most `_MOST_OF_USER` of
one user in that time, so that neither a program nor a person can fill the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from galwad.call_id import is_call_id
from galwad.desk import Desk
from galwad.host.background import audit_done
from galwad.host.errors import SESSION, NotPermittedError, answer
from galwad.people.sessions import Session

_SAME_S: Final = 600.0
_MOST_OF_USER: Final = 100
log = structlog.get_logger()


class Refusals:
    """Knows which refusals were entered already. `clock` returns the monotonic time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entered: dict[str, tuple[float, set[tuple[str, ...]]]] = {}
        """The refusals of each user, and the time of the first one."""

    def is_new(self, actor: str, refusal: tuple[str, ...]) -> bool:
        """Return whether a refusal must be entered, and remember it."""
        now = self._clock()
        since, entered = self._entered.get(actor, (now, set()))
        if now - since >= _SAME_S:
            since, entered = now, set()
        if refusal in entered or len(entered) >= _MOST_OF_USER:
            return False
        entered.add(refusal)
        self._entered[actor] = since, entered
        return True


def install(app: FastAPI) -> None:
    """Install in `app` the handler that answers a `NotPermittedError`."""
    refusals = Refusals()

    @app.exception_handler(NotPermittedError)
    async def refused(request: Request, error: NotPermittedError) -> JSONResponse:
        session: Session | None = request.scope.get(SESSION)
        facts = _facts(request, error)
        if session is not None and refusals.is_new(session.actor, tuple(facts.values())):
            log.warning("access.refused", **facts)
            await _enter(request.app.state.desk, session, facts)
        return answer(error.status, error.error, error.hint, reason=error.reason)


def _facts(request: Request, error: NotPermittedError) -> dict[str, str]:
    """Return what was refused. The path has no values but the id of a call."""
    route = request.scope.get("route")
    path = route.path_format if isinstance(route, APIRoute) else ""
    facts = {"act": f"{request.method} {path}", **error.facts}
    call_id = request.path_params.get("call_id", "")
    if is_call_id(call_id):
        facts["call_id"] = call_id
    if error.reason:
        facts["reason"] = error.reason
    return facts


async def _enter(desk: Desk, session: Session, facts: Mapping[str, str]) -> None:
    at = time.time()
    await audit_done(
        desk.background,
        lambda: desk.audit.append("access.refused", facts, {"actor": session.actor}, at=at),
        refused="access.refusal_not_entered",
        late="access.refusal_entered_late",
    )
