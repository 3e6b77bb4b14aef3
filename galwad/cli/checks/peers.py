"""Checks of the peers of a running switch: OPTIONS, our registrations, and a PBX without names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from galwad.cli.checks.result import CheckResult, fine, warning
from galwad.link import Link, LinkError
from galwad.messages import Figures, Hello
from galwad.settings import Settings

_TIMEOUT_S = 2.0


def check(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for each such peer and registration, and on whether each PBX sends names.

    If no switch is running, there is no result.
    """
    figures = asyncio.run(_ask(settings.switch_socket))
    if figures is None:
        return
    for name, names in figures.naming.items():
        if names:
            yield fine("peers", f"trunk {name} names the parties that answer")
            continue
        yield warning(
            "peers",
            f"trunk {name} does not name who answers: transfers inside this PBX stay unseen,"
            " and what follows them is recorded",
            "let the PBX send P-Asserted-Identity in answers and updates: docs/operations/pbx.md",
        )
    for peer in figures.peers:
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


async def _ask(switch_socket: Path) -> Figures | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            link = Link(*await asyncio.open_unix_connection(switch_socket))
            link.send(Hello("command", version("galwad")))
            try:
                answer = await link.receive()
            finally:
                await link.close()
    except (OSError, TimeoutError, LinkError):  # the switch is not running or is still starting
        return None
    return answer if isinstance(answer, Figures) else None
