"""The exceptions of the package `callerid`.

CallerIdError
├── NumberError          a text is not a telephone number
├── ImportFileError      an import file has faults, each with its line and column
├── DirectoryError       the embedded directory cannot be read or replaced now
├── WatchedFileError     a watched folder cannot be used, or a file in it is not imported
├── NoteRefusedError     a contact note is not accepted by the system to which it is delivered
├── TemplateError        a template of requests or answers in the settings has a fault
├── ChoiceError          a person cannot be chosen or confirmed in the screen-pop
└── ContactError         a contact note cannot be saved, such as a note without a purpose
    └── DraftConflictError  the draft of a contact note was changed or removed meanwhile

ServerError              of `net.errors`: a directory or a destination cannot be used now
└── SqlError             a database refuses a statement or a connection
"""

from __future__ import annotations

from dataclasses import dataclass

from net.errors import ServerError


class CallerIdError(Exception):
    """The base of the errors of this package, except `SqlError`, which is a `ServerError`.

    Messages never contain a phone number or a person's name.
    """


class NumberError(CallerIdError):
    """A text is not a telephone number."""


@dataclass(frozen=True, slots=True)
class ImportFault:
    """One fault in an import file.

    `line` is the number of the line in the file; the header is line 1. `column` is the name of the
    column; it is empty if the fault concerns the whole line.
    """

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
    """An import file has faults, so nothing was imported. `faults` has the first hundred."""

    def __init__(self, faults: list[ImportFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class DirectoryError(CallerIdError):
    """The embedded directory cannot be read, or an import cannot replace it now."""


class WatchedFileError(CallerIdError):
    """A watched folder cannot be used, or a file in it is not imported.

    The message is the end of a sentence that begins with the folder or the file.
    """


class SqlError(ServerError):
    """A database refuses a statement or a connection; `code` is its SQLSTATE or SQLite's code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NoteRefusedError(CallerIdError):
    """A destination does not accept a contact note, and would not accept it in another attempt."""


class TemplateError(CallerIdError):
    """A template in the settings has a fault. Its message follows the name of the setting."""


class ChoiceError(CallerIdError):
    """No such person can be chosen, or the caller is already confirmed or has changed."""


class ContactError(CallerIdError):
    """A field of the contact note is missing or refused, or there is no such answered call."""


class DraftConflictError(ContactError):
    """The draft was changed or removed after the window that wants to save it had read it."""


def reason_of(error: Exception) -> str:
    """Return why a request failed; only the error's type if its text may have personal data."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) if isinstance(error, CallerIdError | ServerError) else type(error).__name__
