"""Reads the systemd units that are shipped."""

from __future__ import annotations

import configparser
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "systemd"
_MB = {"M": 1, "G": 1024}


def unit(process: str) -> dict[str, dict[str, str]]:
    """Return the sections of a process's unit, each with its settings."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FOLDER / f"galwad-{process}.service", encoding="utf-8")
    return {section: dict(parser[section]) for section in parser.sections()}


def memory_max_mb(process: str) -> int:
    """Return the memory in MB that a process's unit allows."""
    text = unit(process)["Service"]["MemoryMax"]
    return int(text[:-1]) * _MB[text[-1]]
