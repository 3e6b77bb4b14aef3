"""The exception for a settings file that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SettingsFault:
    """One fault in a settings file.

    Attributes:
        line: The number of the line, from 1; 0 if there is none, as for a missing table.
        key: The dotted name of the setting; "" if the fault is not in one setting.
        message: A sentence that says what is wrong, with the name of the setting if there is one.
            Usually it also says what to write. It never has the wrong value, because settings
            contain secrets.
    """

    line: int
    key: str
    message: str


class SettingsError(Exception):
    """A settings file cannot be used. The text of the exception has one line for each fault."""

    def __init__(self, file: Path, faults: tuple[SettingsFault, ...]) -> None:
        self.file = file
        self.faults = faults
        super().__init__("\n".join(self._describe(fault) for fault in faults))

    def _describe(self, fault: SettingsFault) -> str:
        where = f"{self.file}:{fault.line}" if fault.line else str(self.file)
        return f"{where}: {fault.message}"
