"""The requests that fail: the errors, the responses, and the audit entries of refused requests.

A refusal (`NotPermittedError`) of a request with a session is entered in the audit. Within ten
minutes, the same refusal of a user is entered once, and at most a hundred different refusals of one
user are entered. So neither a program nor a person can fill the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from callerid.card_number import ADVICE
from callerid.errors import ChoiceError, ContactError
from galwad.host.background import BackgroundTasks, audit_done
from galwad.host.bodies import CARD_NUMBER, field_names
from recording.call_id import is_call_id
from recording.errors import AuditError, CatalogueError

if TYPE_CHECKING:
    from recording.audit.log import AuditLog

SESSION: Final = "galwad.session"
"""The key of a request's scope under which its session is stored; None if it has no session."""
_SAME_S: Final = 600.0
_MOST_OF_USER: Final = 100
STANDARD: Final = {
    400: ("the request cannot be read", "send JSON in UTF-8"),
    404: ("there is nothing at this address", "check the address"),
    405: ("this method is not allowed here", "see docs/http-api.md"),
    413: ("the request is too large", "send at most 256 kB"),
    415: ("the body is not JSON", "send it with Content-Type: application/json"),
    500: ("the request failed on the server", "see the desk's journal"),
}
"""The error and the hint of responses that are not about one endpoint, by their status."""
_EXPECTED = {
    "missing": "is missing",
    "extra_forbidden": "has an unknown field",
    "unexpected_keyword_argument": "has an unknown field",
    "json_invalid": "must be JSON in UTF-8",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}
"""The text about an invalid field, by the type of the validation error."""
_PARAMETERS = frozenset({"path", "query", "header", "cookie"})
log = structlog.get_logger()


class ApiError(Exception):
    """An error that the desk sends as the response to a request.

    `hint` says what the user can do. `retry_after` is in seconds; 0 if not known. `reason` names
    the error for a program that must tell errors with the same status apart.
    """

    def __init__(
        self, status: int, error: str, hint: str = "", retry_after: int = 0, reason: str = ""
    ) -> None:
        super().__init__(error)
        self.reason = reason
        self.status = status
        self.error = error
        self.hint = hint
        self.retry_after = retry_after


class NotPermittedError(ApiError):
    """The user's role or rights do not permit the request. The response has the status 403.

    The audit entry of the refusal has `facts`, which must not contain personal data.
    """

    def __init__(
        self, error: str, hint: str, reason: str = "", facts: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(403, error, hint, reason=reason)
        self.facts = facts or {}


class SwitchDownError(ApiError):
    """The switch is not connected, replied too late, or has another version: status 503."""

    def __init__(self, error: str = "the switch cannot be reached") -> None:
        super().__init__(
            503, error, "assume that nothing changed; pause with the code on the phone"
        )


class Refusal(BaseModel):
    """The response to a request that fails.

    `error` says what is wrong, and `hint` what to do. If fields, parameters or header fields are
    not valid (422), the response names each of them, but does not contain their values. `reason` is
    there only where a program must tell errors with the same status apart, such as `card_number`
    and `draft_conflict`.
    """

    error: str
    hint: str
    reason: str | None = None


def answer(
    status: int, error: str, hint: str = "", retry_after: int = 0, reason: str = ""
) -> JSONResponse:
    """Return the response to a failed request; `retry_after` is in seconds, 0 if not known."""
    headers = {"Retry-After": str(retry_after)} if retry_after else None
    body = Refusal(error=error, hint=hint, reason=reason or None)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers)


def card_number_answer(places: Collection[str]) -> JSONResponse:
    """Return the response to a request with a card number in `places`, such as `body.notes`."""
    names = ", ".join(places)
    log.warning("request.card_number", places=sorted(places))
    error = f"{names} seems to contain a payment card number, which must not be stored"
    return answer(422, error, ADVICE, reason=CARD_NUMBER)


def install(app: FastAPI) -> None:
    """Install in `app` the handlers that turn the exceptions of endpoints into responses."""
    _install_refusals(app)
    known = {"body", "query", "path", *field_names()}

    @app.exception_handler(ApiError)
    async def api(_: Request, error: ApiError) -> JSONResponse:
        return answer(error.status, error.error, error.hint, error.retry_after, error.reason)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, _error: Exception) -> JSONResponse:
        return answer(500, *STANDARD[500])

    @app.exception_handler(HTTPException)
    async def standard(_: Request, error: HTTPException) -> JSONResponse:
        text, hint = STANDARD.get(error.status_code, ("the request failed", "see docs/http-api.md"))
        allowed = (error.headers or {}).get("Allow")
        reply = answer(error.status_code, text, f"use {allowed}" if allowed else hint)
        if allowed:
            reply.headers["Allow"] = allowed
        return reply

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = error.errors()
        if any(item["loc"] == ("body",) for item in faults) and not _is_json(request):
            return answer(415, *STANDARD[415])
        cards = {_field(item["loc"], known) for item in faults if item["type"] == CARD_NUMBER}
        if cards:
            return card_number_answer(sorted(cards))
        fields = sorted({_field(item["loc"], known) + _expected(item) for item in faults})
        return answer(422, "a field is missing or not valid", f"look at: {', '.join(fields)}")

    @app.exception_handler(ChoiceError)
    @app.exception_handler(ContactError)
    async def conflict(_: Request, error: ChoiceError | ContactError) -> JSONResponse:
        return answer(409, str(error), "")

    @app.exception_handler(AuditError)
    @app.exception_handler(CatalogueError)
    async def storage(_: Request, error: AuditError | CatalogueError) -> JSONResponse:
        log.error("storage.failed", exc_info=error)
        return answer(
            503, str(error), "see the desk's journal, and check what was done before you try again"
        )


def _field(location: tuple[int | str, ...], known: Collection[str]) -> str:
    """Return the name of the invalid field of a request, such as `body.limit`, or else "body".

    Parts that are not in `known` come from the client and are left out; the names of parameters and
    header fields are always our own.
    """
    if location and location[0] in _PARAMETERS:
        return ".".join(map(str, location[:2]))
    names = [part for part in location if isinstance(part, str) and part.isidentifier()]
    return ".".join(name for name in names if name in known) or "body"


def _expected(item: Mapping[str, Any]) -> str:
    """Return what is expected, such as " (at most 40 characters)"; "" if it is not known."""
    text = _EXPECTED.get(item["type"], "")
    context = item.get("ctx", {})
    limits = {name: f"{value:.15g}" for name, value in context.items() if isinstance(value, float)}
    return f" ({text.format_map({**context, **limits})})" if text else ""


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    empty = request.headers.get("content-length", "0") == "0"
    return kind == "application/json" or (empty and "transfer-encoding" not in request.headers)


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


def _install_refusals(app: FastAPI) -> None:
    refusals = Refusals()

    @app.exception_handler(NotPermittedError)
    async def refused(request: Request, error: NotPermittedError) -> JSONResponse:
        session = request.scope.get(SESSION)
        facts = _facts(request, error)
        if session is not None and refusals.is_new(session.actor, tuple(facts.values())):
            log.warning("access.refused", **facts)
            await _enter(request.app.state.desk.host, session.actor, facts)
        return answer(error.status, error.error, error.hint, reason=error.reason)


def _facts(request: Request, error: NotPermittedError) -> dict[str, str]:
    """Return what was refused. Of the values in the path, only the id of a call is included."""
    route = request.scope.get("route")
    path = route.path_format if isinstance(route, APIRoute) else ""
    facts = {"act": f"{request.method} {path}", **error.facts}
    call_id = request.path_params.get("call_id", "")
    if is_call_id(call_id):
        facts["call_id"] = call_id
    if error.reason:
        facts["reason"] = error.reason
    return facts


class _Audited(Protocol):
    background: BackgroundTasks
    audit: AuditLog


async def _enter(host: _Audited, actor: str, facts: Mapping[str, str]) -> None:
    at = time.time()
    await audit_done(
        host.background,
        lambda: host.audit.append("access.refused", facts, {"actor": actor}, at=at),
        refused="access.refusal_not_entered",
        late="access.refusal_entered_late",
    )
