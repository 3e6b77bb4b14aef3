"""The exceptions of this package.

CallerIdError
├── NumberError          text that is not a telephone number
├── ImportFileError      a directory file with faults, each with its line and column
├── SourceError          a directory that gives no answer
├── ChoiceError          a choice or confirmation that the pop does not allow
└── ContactError         a contact note that lacks what its caller type needs
"""

from __future__ import annotations

from dataclasses import dataclass


class CallerIdError(Exception):
    """The base of all errors of this package; messages never contain a number or a name."""


class NumberError(CallerIdError):
    """The text is not a telephone number."""


@dataclass(frozen=True, slots=True)
class ImportFault:
    """One fault of an import file; `line` counts from 1 and includes the header line."""

    file: str
    line: int
    column: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        return (
            f"{place}: {self.column}: {self.problem}" if self.column else f"{place}: {self.problem}"
        )


class ImportFileError(CallerIdError):
    """Nothing was imported; `faults` lists what to correct."""

    def __init__(self, faults: list[ImportFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class SourceError(CallerIdError):
    """A directory gives no answer now; this is not the same as "not found"."""


class ChoiceError(CallerIdError):
    """The pop does not allow this choice or confirmation."""


class ContactError(CallerIdError):
    """The contact note lacks what its caller type needs."""
