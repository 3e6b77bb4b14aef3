"""The centre's time zone, which the desk names to programs and the command line prints.

The name is that of the IANA database, such as "Europe/London".
"""

from __future__ import annotations

import os
from datetime import tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

HEADER: Final = "X-Galwad-Time-Zone"
"""The field of the desk's responses that has the name of the centre's time zone."""
_LOCALTIME: Final = Path("/etc/localtime")


def zone_named(name: str) -> ZoneInfo | None:
    """Return the time zone with this name; None if this machine does not know it."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, KeyError, OSError):
        return None


def machine_zone() -> ZoneInfo | None:
    """Return this machine's time zone, from $TZ or /etc/localtime; None if its name is unknown."""
    if (chosen := os.environ.get("TZ")) is not None:
        return zone_named(chosen.removeprefix(":") or "UTC")
    _, found, name = str(_LOCALTIME.resolve()).partition("/zoneinfo/")
    return zone_named(name) if found else None


def name_of(zone: tzinfo | None) -> str:
    """Return the name of a time zone, or of this machine's if `zone` is None; "" if unknown."""
    found = machine_zone() if zone is None else zone
    return (found.key if isinstance(found, ZoneInfo) else None) or ""
