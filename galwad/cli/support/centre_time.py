"""The time zone in which a command prints times: the centre's, whatever this machine's is.

It comes from a response of the server, or from the settings file. Before a command has read either,
and if neither names the time zone, it is UTC. Each printed time names its time zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from galwad.time_zones import machine_zone, zone_named

_zone: tzinfo = UTC


def reset() -> None:
    """Return to UTC, for a new command."""
    _set(UTC)


def use_zone_of_response(name: str) -> None:
    """Print times in the time zone with this name, if this machine knows it."""
    if found := zone_named(name):
        _set(found)


def use_zone_of_settings(zone: tzinfo | None) -> None:
    """Print times in this time zone of the settings file; None means that of this machine."""
    _set(zone or machine_zone() or UTC)


def centre_zone() -> tzinfo:
    """Return the centre's time zone."""
    return _zone


def centre_time(epoch: float) -> datetime:
    """Return a Unix time in the centre's time zone."""
    return datetime.fromtimestamp(epoch, tz=_zone)


def _set(zone: tzinfo) -> None:
    global _zone  # noqa: PLW0603 - one command has one time zone, and dozens of places print times
    _zone = zone
