"""The settings of `[[directories]]`: systems such as a CRM in which callers are looked up.

Each kind of directory is a module with its own settings. The directory that Galwad itself has
(`galwad directory import`) needs no settings.
"""

from __future__ import annotations

from config.directories.kinds import ExternalDirectory

__all__ = ["ExternalDirectory"]
