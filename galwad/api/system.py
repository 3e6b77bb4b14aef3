"""Endpoints for the health of the node, the metrics, and the page's texts."""

from __future__ import annotations

import functools
import hashlib
import itertools
from importlib.metadata import version
from importlib.resources import files
from ipaddress import ip_address
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.host.bodies import Language
from galwad.host.errors import ApiError
from galwad.people.access import session_of
from galwad.people.sessions import Session

router = APIRouter()
_OF_COMMANDS: Final = ("promise.", "evidence.")
"""The beginnings of the keys of texts that only the command line shows."""
_OF_PARTS: Final = {"admin": ("admin.",), "recordings": ("explain.", "recordings.")}
"""The beginnings of the keys of texts in the parts of the page that not everybody opens."""


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


@router.get("/health", responses={503: {"model": NodeHealth}})
async def health(
    desk: TheDesk, response: Response, session: Annotated[Session | None, Depends(session_of)]
) -> NodeHealth:
    """Return whether the database, the switch and the finaliser can be reached.

    The HTTP status is 503 if the database fails, otherwise 200. Only a signed-in user learns the
    version of the software, because the version tells an attacker which faults to try.
    """
    database = await _database(desk)
    fine = (
        database
        and desk.host.switch.connected
        and desk.archive.finaliser.connected
        and not desk.host.peers_down
    )
    response.status_code = 200 if database else 503
    return NodeHealth(
        status="ok" if fine else "degraded",
        version=version("galwad") if session is not None else None,
        database=database,
        switch=desk.host.switch.connected,
        finaliser=desk.archive.finaliser.connected,
        live_calls=sum(not call.wrapup for call in desk.calls.live.all()),
        peers_down=desk.host.peers_down,
    )


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(
    request: Request, desk: TheDesk, session: Annotated[Session | None, Depends(session_of)]
) -> Response:
    """Return the metrics as Prometheus text.

    Clients on this machine, administrators, and machines with the right `metrics` may read them.

    Raises:
        ApiError: 403, the client is on another machine, and is neither an administrator nor a
            machine with the right `metrics`.
    """
    allowed = session is not None and (
        "metrics" in session.user.rights or session.user.role == "admin"
    )
    if not (allowed or _is_from_here(request)):
        raise ApiError(
            403,
            "metrics need the right `metrics`",
            "use a token with this right, sign in as an administrator, or ask on the server itself",
        )
    return Response(desk.host.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/strings/{language}",
    response_model=dict[str, str],
    responses={304: {"description": "The client already has these texts."}},
)
async def strings(
    language: Language,
    part: Literal["page", "admin", "recordings"] = "page",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the texts of the page in this language, as a JSON object.

    The texts of the administration and of the recordings are parts of their own. The status is 304
    if the client already has the texts (RFC 9110 section 13.1.2).

    Raises:
        ApiError: 404, there are no texts in this language.
    """
    texts = page_texts(language, part)
    if texts is None:
        raise ApiError(404, "there are no texts in this language", "use en or cy")
    tag = f'"{hashlib.sha256(texts).hexdigest()[:16]}"'
    kept = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match == tag:
        return Response(status_code=304, headers=kept)
    return Response(texts, headers=kept, media_type="application/json")


@functools.cache
def page_texts(language: str, part: str) -> bytes | None:
    """Return the texts of a part of the page as JSON; None if there are none in this language."""
    file = files("galwad.page") / "locale" / f"{language}.json"
    if not file.is_file():
        return None
    texts = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    others = _OF_COMMANDS + tuple(itertools.chain.from_iterable(_OF_PARTS.values()))
    if part in _OF_PARTS:
        chosen = {key: text for key, text in texts.items() if key.startswith(_OF_PARTS[part])}
    else:
        chosen = {key: text for key, text in texts.items() if not key.startswith(others)}
    return msgspec.json.encode(chosen)


async def _database(desk: ArchiveDesk) -> bool:
    try:
        async with desk.host.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _is_from_here(request: Request) -> bool:
    """Return whether the client's address is loopback or the same as the server's."""
    if request.client is None:
        return False
    try:
        host = ip_address(request.client.host)
    except ValueError:
        return False
    if host.is_loopback:
        return True
    server = request.scope.get("server")
    try:
        return server is not None and host == ip_address(server[0])
    except ValueError:
        return False
