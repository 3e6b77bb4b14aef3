"""The settings of a directory of any kind."""

from __future__ import annotations

from typing import TypeAlias

from config.directories.http import HttpDirectorySection

ExternalDirectory: TypeAlias = HttpDirectorySection
"""The settings of one directory. The setting `kind` says which settings it has."""
