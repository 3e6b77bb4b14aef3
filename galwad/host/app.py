"""The HTTP server of the desk process, and the function `run`.

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
from typing import Any, Generic, TypeVar

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from galwad import supervise
from galwad.host.connections.acceptor import Acceptor
from galwad.host.connections.places import Places
from galwad.host.connections.protocol import LimitedProtocol, PhaseLimits
from galwad.host.database import SchemaError
from galwad.host.host import PROXIES, HasHost
from galwad.process_start import log_cannot_start
from net.tls import CIPHERS

_MAX_HEAD = 16 * 1024
"""The longest head of a request in bytes: the request line and all header fields."""
log = structlog.get_logger()
D = TypeVar("D", bound=HasHost)


class UnsafeListenerError(Exception):
    """Other machines can reach the address on which the server listens, and TLS is not set up."""


class _Server(uvicorn.Server):
    """A uvicorn server with our own `Acceptor`; `ready` is set when it accepts requests."""

    def __init__(self, config: uvicorn.Config, places: Places, limits: PhaseLimits) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._places = places
        self._limits = limits
        self.acceptor: Acceptor | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Replace uvicorn's method, so that each connection gets a place and time limits."""
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


class DeskServer(Generic[D]):
    """A desk, and the HTTP server for its application `app`."""

    def __init__(self, desk: D, app: ASGIApp, limits: PhaseLimits | None = None) -> None:
        self.desk = desk
        self._host = desk.host
        self._app = app
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
            Exception: A step of the desk's start failed, or the HTTP server did.
        """
        section = self._host.settings.desk
        if section.tls_certificate is None and not section.listen.loopback:
            raise UnsafeListenerError(
                f"[desk] listen is {section.listen}, which is not loopback and needs TLS: "
                "set tls_certificate and tls_key, or listen on loopback"
            )
        config = self._config()
        config.load()  # reads the TLS key, which may be missing, before the desk starts its parts
        self._listener = listener = _listen(section.listen.host, section.listen.port)
        self.port = listener.getsockname()[1]
        try:
            await self._host.start()
        except BaseException:
            listener.close()
            raise
        self._server = _Server(config, self._host.places, self._limits)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            listener.close()
            await self._task  # raises the error of the HTTP server, if it has failed
            raise OSError("the HTTP server ended at once")

    def _config(self) -> uvicorn.Config:
        section = self._host.settings.desk
        return uvicorn.Config(
            self._app,
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
        """End the event streams, give the requests in progress 5 s to finish, and stop the desk."""
        self._host.streams.close()
        if self._server is not None and self._task is not None and not self._task.done():
            self._server.should_exit = True
            await self._task
        # The server normally closes the listener itself, but not if the server has failed.
        if self._server is not None and self._server.acceptor is not None:
            self._server.acceptor.close()
        if self._listener is not None:
            self._listener.close()
        await self._host.stop()


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


def run(make: Callable[[], DeskServer[Any]]) -> int:
    """Make a desk and run it until SIGTERM or SIGINT; return 0, or 1 if the desk cannot start.

    Set up `galwad.logs` first, or the texts of exceptions may appear in the log.
    """
    return uvloop.run(_main(make))


async def _main(make: Callable[[], DeskServer[Any]]) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_signal: Callable[[], None] = stopping.set
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        server = await asyncio.to_thread(make)
    except SchemaError as error:
        log_cannot_start("desk", error, error.hint)
        return 1
    try:
        await server.start()
    except (UnsafeListenerError, OSError) as error:
        log_cannot_start("desk", error)
        await server.desk.host.stop()
        return 1
    log.info("desk.ready", host=server.desk.host.settings.desk.listen.host, port=server.port)
    supervise.ready()
    alive = asyncio.create_task(supervise.watchdog())
    await stopping.wait()
    supervise.stopping()
    log.info("desk.stopping")
    alive.cancel()
    await server.stop()
    return 0
