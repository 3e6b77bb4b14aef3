"""The errors of settings files.

SettingsError            the file cannot be used; `faults` says where, what is wrong and what to do
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SettingsFault:
    """One fault of a settings file.

    `line` counts from 1 (0: the whole file), `key` is the dotted name ("" for the whole file),
    `message` names the setting and says what is wrong and what to write. The wrong value is never
    included, because settings contain secrets.
    """

    line: int
    key: str
    message: str


class SettingsError(Exception):
    """A settings file cannot be used; the message has one line for each fault."""

    def __init__(self, file: Path, faults: tuple[SettingsFault, ...]) -> None:
        self.file = file
        self.faults = faults
        super().__init__("\n".join(self._describe(fault) for fault in faults))

    def _describe(self, fault: SettingsFault) -> str:
        where = f"{self.file}:{fault.line}" if fault.line else str(self.file)
        return f"{where}: {fault.message}"
