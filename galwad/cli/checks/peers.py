"""Checks of the peers to which a running switch sends OPTIONS, and of our registrations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from config.settings import Settings
from galwad.cli.checks.result import CheckResult, fine, warning
from galwad.link import Link, LinkError
from galwad.messages import Figures, Hello, PeerStatus

_TIMEOUT_S = 2.0


def check(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for each peer to which the switch sends OPTIONS, and for each registration.

    If no switch is running, there is no result.
    """
    for peer in asyncio.run(_ask(settings.switch_socket)):
        by_options = peer.asked_by == "options"
        if peer.up:
            text = "answers OPTIONS" if by_options else "accepts our registration"
            yield fine("peers", f"{peer.name} {text}")
        elif by_options:
            yield warning(
                "peers",
                f"{peer.name} does not answer OPTIONS: it is tried after all others",
                "check it, and the network; the alarm peer.down has the last status",
            )
        else:
            yield warning(
                "peers",
                f"trunk {peer.name} does not accept our registration: it sends no calls",
                "check username, password, registrar; the alarm trunk.unregistered has the status",
            )


async def _ask(switch_socket: Path) -> tuple[PeerStatus, ...]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            link = Link(*await asyncio.open_unix_connection(switch_socket))
            link.send(Hello("command", version("galwad")))
            try:
                answer = await link.receive()
            finally:
                await link.close()
    except (OSError, TimeoutError, LinkError):  # the switch is not running or is still starting
        return ()
    return answer.peers if isinstance(answer, Figures) else ()
