"""Functions that load settings with directories, with as few other settings as possible."""

from __future__ import annotations

import pytest

from config.errors import SettingsError
from galwad.settings import load

LEAST = """\
[sip]
listen = ["udp:127.0.0.1:5060"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that loads these settings."""

    def read(text):
        path = tmp_path / "galwad.toml"
        path.write_text(LEAST + text, encoding="utf-8")
        return load(path)

    return read


@pytest.fixture
def faults(read):
    """Return a function that loads faulty settings, and returns line and message of each fault."""

    def faults(text):
        with pytest.raises(SettingsError) as caught:
            read(text)
        return [(fault.line, fault.message) for fault in caught.value.faults]

    return faults
