"""The desk process: the ASGI application, its HTTP server, and the function `run`.

Signals are handled here and not by uvicorn: at SIGTERM the desk must first end the event streams,
because the shutdown of uvicorn waits for open streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from typing import Final

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp

from galwad import supervise
from galwad.api import system
from galwad.api.document import PREFIX, describe
from galwad.api.tags import operation_id
from galwad.archive import custody, gaps, headers, proof_routes, reindex
from galwad.archive import routes as recordings
from galwad.calls import payment_pages, payments, phones
from galwad.calls import routes as calls
from galwad.calls.alarms import routes as alarms
from galwad.calls.log import figures, today
from galwad.calls.presence import routes as presence
from galwad.desk import PROXIES, Desk
from galwad.directories import routes as directories
from galwad.events import routes as webhooks
from galwad.host import embedding, errors
from galwad.host.compression import PublicFileCompression
from galwad.host.connections.acceptor import Acceptor
from galwad.host.connections.protocol import LimitedProtocol, PhaseLimits
from galwad.host.database import SchemaError
from galwad.host.request_guard import MAX_BODY, RequestGuard
from galwad.notes import routes as contacts
from galwad.page import stream
from galwad.page.files import PageFiles
from galwad.people import routes as people
from galwad.people import second_factor_routes as second_factor
from galwad.people.oidc import routes as sign_in
from galwad.people.oidc.provider_sign_in import CALLBACK
from galwad.people.session_layer import SessionLayer
from galwad.people.sign_in import command_lines, panels
from galwad.people.sign_in import routes as accounts
from galwad.settings import Settings
from galwad.start_failure import log_cannot_start
from galwad.texts import routes as texts
from galwad.time_zones import name_of
from telephony.aio.tls import CIPHERS

_MAX_HEAD = 16 * 1024
"""The longest head of a request in bytes: the request line and all header fields."""
log = structlog.get_logger()

API_VERSION = "1"
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
    headers,
    custody,
    reindex,
    proof_routes,
    today,
    figures,
    system,
)
OFTEN_USED: Final = (payments, recordings)
"""The modules whose endpoints are found first, because pauses and fetches must not cost much."""


class UnsafeListenerError(Exception):
    """Other machines can reach the address on which the server listens, and TLS is not set up."""


def create_app(desk: Desk) -> ASGIApp:
    """Return the desk's ASGI application, wrapped in the layers that each request passes first."""
    app = create_api()
    # FastAPI tries one module's endpoints after the other until one matches.
    often = [module.router for module in OFTEN_USED]
    app.router.routes.sort(key=lambda route: getattr(route, "original_router", None) not in often)
    app.state.desk = desk
    section = desk.settings.desk
    _install_page(app, embedded=bool(section.embed_origins))
    return RequestGuard(
        SessionLayer(PublicFileCompression(app), desk.sessions, desk.places, cookie=section.cookie),
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
    refusals.install(app)
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


class _Server(uvicorn.Server):
    """A uvicorn server with our own `Acceptor`; `ready` is set when it accepts requests."""

    def __init__(self, config: uvicorn.Config, desk: Desk, limits: PhaseLimits) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._places = desk.places
        self._limits = limits
        self.acceptor: Acceptor | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Replace uvicorn's method, which limits neither the number of connections nor time."""
        (listener,) = sockets or []
        make = partial(
            LimitedProtocol,
            self.config,
            self.server_state,
            places=self._places,
            limits=self._limits,
        )
        self.acceptor = Acceptor(listener, self._places, make, self.config.ssl)
        self.acceptor.start()
        self.servers = [self.acceptor]  # type: ignore[list-item]
        self.started = True
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Replace uvicorn's method and install no handlers: `_main` handles the signals."""
        yield


class DeskServer:
    """A desk together with its HTTP server."""

    def __init__(self, desk: Desk, limits: PhaseLimits | None = None) -> None:
        self.desk = desk
        self._limits = limits or PhaseLimits()
        self._listener: socket.socket | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Start the desk and its HTTP server; return when the server accepts requests.

        Raises:
            UnsafeListenerError: There is no TLS, and the address is not a loopback address.
            OSError: The server cannot listen, a TLS file cannot be read, or the server ended at
                once.
            ssl.SSLError: The TLS certificate and its key do not fit together, or are damaged.
        """
        section = self.desk.settings.desk
        if section.tls_certificate is None and not _loopback(section.listen.host):
            raise UnsafeListenerError(
                f"the address {section.listen.host} is not loopback and needs TLS: "
                "set tls_certificate and tls_key, or listen on loopback"
            )
        config = self._config()
        config.load()  # reads the TLS key, which may be missing, before the desk starts its parts
        self._listener = listener = _listen(section.listen.host, section.listen.port)
        self.port = listener.getsockname()[1]
        try:
            await self.desk.start()
        except BaseException:
            listener.close()
            raise
        self._server = _Server(config, self.desk, self._limits)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            listener.close()
            await self._task  # raises the error of the HTTP server, if it has failed
            raise OSError("the HTTP server ended at once")

    def _config(self) -> uvicorn.Config:
        section = self.desk.settings.desk
        return uvicorn.Config(
            create_app(self.desk),
            log_config=None,
            log_level="error",  # a stranger's invalid request is no reason for a line in the log
            access_log=False,
            server_header=False,
            # If a public origin is set, a reverse proxy on this machine forwards the requests. The
            # proxy adds the header field X-Forwarded-For with the client's address, which the
            # limits for failed sign-ins need. If a request comes directly from another machine,
            # this header field is ignored.
            proxy_headers=section.public_origin is not None,
            forwarded_allow_ips=list(PROXIES),
            lifespan="off",
            ws="none",
            http="h11",
            h11_max_incomplete_event_size=_MAX_HEAD,
            ssl_certfile=section.tls_certificate,
            ssl_keyfile=section.tls_key,
            ssl_ciphers=CIPHERS,
            timeout_graceful_shutdown=5,
        )

    async def stop(self) -> None:
        """End the event streams, finish the requests in progress, and stop server and desk."""
        self.desk.hub.close()
        if self._server is not None and self._task is not None and not self._task.done():
            self._server.should_exit = True
            await self._task
        # The server normally closes the listener itself, but not if the server has failed.
        if self._server is not None and self._server.acceptor is not None:
            self._server.acceptor.close()
        if self._listener is not None:
            self._listener.close()
        await self.desk.stop()


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        error.filename = f"{host}:{port}"
        raise
    return listener


def run(settings: Settings) -> int:
    """Run the desk until SIGTERM or SIGINT; return the process's exit status.

    Set up `galwad.logs` first, or the texts of exceptions may appear in the log.
    """
    return uvloop.run(_main(settings))


async def _main(settings: Settings) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_signal: Callable[[], None] = stopping.set
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        server = DeskServer(await asyncio.to_thread(Desk, settings))
    except SchemaError as error:
        log_cannot_start("desk", error, error.hint)
        return 1
    try:
        await server.start()
    except (UnsafeListenerError, OSError) as error:
        log_cannot_start("desk", error)
        await server.desk.stop()
        return 1
    log.info("desk.ready", host=settings.desk.listen.host, port=server.port)
    supervise.ready()
    alive = asyncio.create_task(supervise.watchdog())
    await stopping.wait()
    supervise.stopping()
    log.info("desk.stopping")
    alive.cancel()
    await server.stop()
    return 0
