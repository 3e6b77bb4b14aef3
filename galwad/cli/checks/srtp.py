"""Check that SRTP keys are sent only over TLS.

The keys of SRTP are in SDP, so without TLS other people on the network can read them.
"""

from __future__ import annotations

from collections.abc import Iterator

from galwad.cli.checks.result import CheckResult, warning
from galwad.settings import Settings
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri


def check(settings: Settings) -> Iterator[CheckResult]:
    """Yield a warning for each peer that must use SRTP, but whose signalling may be without TLS."""
    speaks_tls = any(listener.transport == "tls" for listener in settings.sip.listen)
    for who in _unsafe(settings, speaks_tls=speaks_tls):
        yield warning(
            "srtp",
            f"{who} must use SRTP, but may signal without TLS: others can read the keys",
            'use transport = "tls" (";transport=tls" in a target), and [sip] listen with "tls:…"',
        )


def _unsafe(settings: Settings, *, speaks_tls: bool) -> Iterator[str]:
    for who, rule, by_tls in _parties(settings):
        if (rule or settings.media.srtp) == "required" and not (speaks_tls and by_tls):
            yield who


def _parties(settings: Settings) -> Iterator[tuple[str, str | None, bool]]:
    """Yield each peer in the settings: its name, its SRTP rule, and whether it always uses TLS.

    The name is a text such as "trunk pstn". The rule is None if the settings have no SRTP rule for
    this peer; this module then uses the rule in [media].
    """
    for trunk in settings.trunks:
        yield f"trunk {trunk.name}", trunk.srtp, trunk.transport == "tls"
    for phone in settings.phones:
        yield f"phone {phone.extension}", phone.srtp, phone.transport == "tls"
    for route in settings.routes:
        if route.target is not None:
            yield f"route {route.called.text}", route.srtp, _by_tls(*route.target)
    for destination in settings.destinations:
        if destination.target is not None:
            who = f"destination {destination.match.text}"
            yield who, destination.srtp, _by_tls(*destination.target)


def _by_tls(*targets: str) -> bool:
    """Return whether calls reach each of these targets over TLS."""
    try:
        uris = [Uri.parse(target) for target in targets]
    except ParseError:
        return False
    return all(
        uri.scheme == "sips" or (uri.parameter("transport") or "").lower() == "tls" for uri in uris
    )
