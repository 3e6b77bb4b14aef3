"""Endpoints to sign in the page in a panel of a CRM: a person approves it on the page in a tab.

Providers refuse to be shown in a frame, and a panel does not share cookies, storage or windows with
the page in a tab. So the person signs in on the page in a tab, and approves the panel there. The
panel polls until an answer sets the panel's own cookie. Only a session of the page in a tab can
approve a panel. A session of a panel or of a command line cannot.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from galwad.host.errors import ApiError
from galwad.people.access import Person
from galwad.people.sessions import Session
from galwad.people.sign_in.approval_routes import (
    address_of,
    approve_waiting,
    begin_waiting,
    find_waiting,
    opened,
    redeem,
)
from galwad.people.sign_in.bodies import (
    BeginPanel,
    Me,
    PanelFacts,
    WaitingCode,
    WaitingSecret,
    WaitingSignIn,
)
from galwad.people.sign_in.routes import me_of, set_session_cookie
from galwad.people.subject import TheDesk
from net.addresses import network_of

router = APIRouter()
_FRAGMENT: Final = "#panel"


async def on_the_page(session: Person) -> Session:
    """Return the session of a person on the page itself, not in a panel or at a command line.

    Raises:
        ApiError: 403, the session is of a panel or a command line.
    """
    if session.kind != "page":
        raise ApiError(
            403, "only the page itself can approve a panel", "open the desk in a tab of its own"
        )
    return session


OnThePage = Annotated[Session, Depends(on_the_page)]


@router.post("/panels", status_code=201)
async def begin(body: BeginPanel, request: Request, desk: TheDesk) -> WaitingSignIn:
    """Begin the sign-in of the page in a panel.

    Raises:
        ApiError: 403, the site may not show the page.
    """
    if body.site not in desk.host.settings.desk.embed_origins:
        raise ApiError(403, "this site may not show the page", "add it to `[desk] embed_origins`")
    return begin_waiting(desk, request, desk.people.panels, _FRAGMENT, body.site)


@router.post("/panels/show")
async def show(
    body: WaitingCode, request: Request, desk: TheDesk, session: OnThePage
) -> PanelFacts:
    """Return the site and the network address of the panel that waits with a code.

    Raises:
        ApiError: 404, no panel waits with this code. 429, too many codes.
    """
    found = find_waiting(desk, session, desk.people.panels, body)
    same = network_of(address_of(request)) == found.network
    return PanelFacts(site=found.site, address=found.address, same_network=same)


@router.post("/panels/approve", status_code=204)
async def approve(body: WaitingCode, request: Request, desk: TheDesk, session: OnThePage) -> None:
    """Let the panel that waits with a code sign in as the signed-in person.

    The approval is entered in the audit chain before it takes effect.

    Raises:
        ApiError: 404, no panel waits with this code. 429, too many codes.
    """
    found = find_waiting(desk, session, desk.people.panels, body)
    await approve_waiting(desk, request, session, desk.people.panels, found)


@router.post("/panels/session")
async def collect(body: WaitingSecret, request: Request, response: Response, desk: TheDesk) -> Me:
    """Return the signed-in person and set the panel's cookie, if the panel is approved.

    The panel's session ends no later than the time limit of the session in which the person
    approved it. A sign-out of that session does not end the panel's session.

    Raises:
        ApiError: 409, the panel is not approved yet: `reason` is "waiting". 410, it was not
            approved in time, or has not asked for 150 s. 401, the session that approved it has
            ended.
    """
    approver = await redeem(desk, request, desk.people.panels, body)
    token = await desk.people.sessions.open(
        approver.user.name, "embedded", provider=approver.provider, until=approver.until
    )
    session = await opened(desk, token)
    set_session_cookie(response, desk, session, token)
    return me_of(desk, session)
