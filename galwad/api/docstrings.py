"""The texts of the OpenAPI description, from the docstrings of endpoints and their dependencies."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

_SECTION: Final = re.compile(r"^(?:Raises|Args|Returns):\n((?:[ \t]+.*\n?|\n)*)", re.MULTILINE)
_RAISES: Final = re.compile(r"^Raises:\n((?:[ \t]+.*\n?|\n)*)", re.MULTILINE)
_ITEM: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_STATUSES: Final = re.compile(r"((?:\d{3}(?:, | or | and )?)+)(.*)", re.DOTALL)
_SENTENCE: Final = re.compile(r"(?<=\.) +(?=[A-Z0-9])")
_STATUS_OF: Final = {
    "ChoiceError": 409,
    "ContactError": 409,
    "SwitchDownError": 503,
    "AuditError": 503,
}
"""The status for each exception whose item in `Raises` does not begin with the status."""


class DocstringError(Exception):
    """A docstring of an endpoint cannot be read. The message says what it must have."""


def summary_of(function: Callable[..., Any]) -> str:
    """Return the first sentence of a docstring, without its full stop; "" without a docstring."""
    text = inspect.getdoc(function) or ""
    first = _SENTENCE.split(" ".join(text.partition("\n\n")[0].split()))[0]
    return first.rstrip(".")


def description_of(function: Callable[..., Any]) -> str:
    """Return a docstring without its summary and sections, with one line for each paragraph."""
    text = _SECTION.sub("", inspect.getdoc(function) or "")
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    paragraphs[0] = " ".join(_SENTENCE.split(paragraphs[0])[1:])
    return "\n\n".join(filter(None, paragraphs))


def refusals_of(functions: Iterable[Callable[..., Any]]) -> dict[int, list[str]]:
    """Return what the sections `Raises` say about each HTTP status, in the order of the functions.

    The item of an `ApiError` begins with its status: "404, no user has this name. 409, the name is
    taken." A sentence without a status has the status of the sentence before it.

    Raises `DocstringError` if an exception has no known status, or an `ApiError` names none.
    """
    found: dict[int, list[str]] = {}
    for function in functions:
        raises = _RAISES.search(inspect.getdoc(function) or "")
        for name, text in _ITEM.findall(raises[1]) if raises else ():
            for status, reason in _reasons(name, " ".join(text.split()), function.__qualname__):
                texts = found.setdefault(status, [])
                if reason not in texts:
                    texts.append(reason)
    return found


def _reasons(exception: str, text: str, where: str) -> list[tuple[int, str]]:
    if exception in _STATUS_OF:
        return [(_STATUS_OF[exception], _capitalized(text))]
    if exception != "ApiError":
        known = ", ".join(["ApiError", *_STATUS_OF])
        raise DocstringError(f"{where}: {exception} has no known status; use one of {known}")
    found: list[tuple[int, str]] = []
    last: list[int] = []
    for sentence in _SENTENCE.split(text):
        match = _STATUSES.match(sentence)
        reason = match[2] if match is not None else sentence
        if match is not None:
            last = [int(status) for status in re.findall(r"\d{3}", match[1])]
        elif not last:
            raise DocstringError(f'{where}: begin "{text}" with its status, such as "404, "')
        found += [(status, _capitalized(reason.lstrip(", "))) for status in last]
    return found


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
