"""The application of the desk: which endpoints it has, and the layers that each request passes."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp

from galwad.api import system
from galwad.api.document import PREFIX, describe
from galwad.api.tags import operation_id
from galwad.archive import (
    custody,
    disclosure_routes,
    evidence,
    gaps,
    headers,
    hold_routes,
    listening,
    proof_routes,
    reindex,
    retention_routes,
)
from galwad.archive import routes as recordings
from galwad.calls import payment_pages, payments, phones
from galwad.calls import routes as calls
from galwad.calls.alarms import routes as alarms
from galwad.calls.log import figures, today
from galwad.calls.presence import routes as presence
from galwad.cases import call_routes as call_cases
from galwad.cases import routes as cases
from galwad.directories import routes as directories
from galwad.events import routes as webhooks
from galwad.host import embedding, errors
from galwad.host.request_guard import MAX_BODY, RequestGuard
from galwad.notes import call_routes as call_notes
from galwad.notes import routes as contacts
from galwad.page import stream
from galwad.page.files import PageFiles, PublicFileCompression
from galwad.page.subject import PageDesk
from galwad.people import routes as people
from galwad.people import second_factor_routes as second_factor
from galwad.people.oidc import routes as sign_in
from galwad.people.oidc.provider_sign_in import CALLBACK
from galwad.people.session_layer import SessionLayer
from galwad.people.sign_in import command_lines, panels
from galwad.people.sign_in import routes as accounts
from galwad.periods import name_of
from galwad.texts import routes as texts

API_VERSION: Final = "1"
"""The version of the API, as in its paths. It is public, but the version of Galwad is not."""
ENDPOINT_MODULES: Final = (
    accounts,
    people,
    second_factor,
    sign_in,
    command_lines,
    panels,
    stream,
    calls,
    call_notes,
    alarms,
    contacts,
    webhooks,
    texts,
    directories,
    presence,
    payments,
    payment_pages,
    phones,
    recordings,
    gaps,
    listening,
    evidence,
    headers,
    custody,
    hold_routes,
    disclosure_routes,
    retention_routes,
    call_cases,
    cases,
    reindex,
    proof_routes,
    today,
    figures,
    system,
)
OFTEN_USED: Final = (payments, recordings)
"""The modules whose endpoints are tried first, because pauses and fetches must be found fast."""


def create_app(desk: PageDesk) -> ASGIApp:
    """Return the desk's ASGI application, wrapped in the layers that each request passes first."""
    app = create_api()
    # FastAPI tries the endpoints of one module after another until an endpoint matches.
    often = [module.router for module in OFTEN_USED]
    app.router.routes.sort(key=lambda route: getattr(route, "original_router", None) not in often)
    app.state.desk = desk
    section = desk.host.settings.desk
    _install_page(app, embedded=bool(section.embed_origins))
    return RequestGuard(
        SessionLayer(
            PublicFileCompression(app),
            desk.people.sessions,
            desk.host.places,
            cookie=section.cookie,
        ),
        cookie=section.cookie,
        origin=section.public_origin,
        secure=section.secure,
        opaque_path=CALLBACK,
        open_path=f"{PREFIX}{payment_pages.PATH}",
        open_origins=frozenset(section.payment_page_origins),
        embed_origins=section.embed_origins,
        time_zone=name_of(section.time_zone),
    )


def create_api() -> FastAPI:
    """Return the endpoints of the API with their description, but without a desk behind them."""
    app = FastAPI(
        title="Galwad",
        version=API_VERSION,
        # FastAPI's documentation page is not offered, because it loads scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        generate_unique_id_function=operation_id,
        max_body_size=MAX_BODY,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    errors.install(app)
    for module in ENDPOINT_MODULES:
        app.include_router(module.router, prefix=PREFIX)
    describe(app, [module.router for module in ENDPOINT_MODULES])
    return app


def _install_page(app: FastAPI, *, embedded: bool) -> None:
    page_files = PageFiles()
    app.mount("/static", page_files)

    async def index() -> HTMLResponse:
        return page_files.page("index.html")

    async def reference() -> HTMLResponse:
        return page_files.page("api_reference.html")

    for path in ("/", embedding.PATH) if embedded else ("/",):
        app.get(path, include_in_schema=False)(index)
    app.get("/api-reference", include_in_schema=False)(reference)
