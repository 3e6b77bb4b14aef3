"""Opens the directories that the settings name, such as a CRM.

A directory whose settings cannot be used, for example because a certificate is missing, does not
keep the desk from starting. Each search in it fails with the reason, and `galwad check` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ssl import SSLContext
from typing import NoReturn

import structlog
from jmespath.parser import ParsedResult

from callerid.answer_cache import CacheLimits
from callerid.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    ClientCredentials,
    NoAuthentication,
)
from callerid.errors import CallerIdError, SourceError, TemplateError
from callerid.json_client import Authentication, JsonClient, TlsFiles, tls_context
from callerid.limited_source import SourceLimits
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleMapping, compiled
from callerid.source import DirectorySource
from callerid.sources.http import HttpDirectory, HttpTemplate
from callerid.templates import Json, JsonTemplate
from config.directories import DirectoryAuthentication, ExternalDirectory

log = structlog.get_logger()


def open_directories(
    sections: Iterable[ExternalDirectory],
) -> Sequence[tuple[DirectorySource, SourceLimits]]:
    """Return the directories of these settings, with the limits for their requests."""
    return [(_opened_or_unusable(section), limits_of(section)) for section in sections]


def open_directory(section: ExternalDirectory) -> HttpDirectory:
    """Return the directory of these settings.

    Raises:
        TemplateError: A placeholder or an expression is wrong.
        SourceError: A file with a certificate cannot be used.
    """
    template = _template(section)
    tls = tls_context(TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key))
    client = JsonClient(
        _authentication(section.authentication, tls),
        tls,
        connections=section.concurrency,
        empty_statuses=section.not_found,
    )
    return HttpDirectory(section.name, template, client, has_extensions=section.extensions)


def limits_of(section: ExternalDirectory) -> SourceLimits:
    """Return the limits for the requests to the directory of these settings."""
    cache = CacheLimits(section.keep_found, section.keep_not_found)
    return SourceLimits(section.concurrency, section.timeout, cache)


class UnusableDirectory:
    """A directory whose settings cannot be used. Each search fails with the reason."""

    def __init__(self, name: str, reason: str, *, has_extensions: bool) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._reason = reason

    async def find(self, number: PhoneNumber) -> NoReturn:
        """Raise a SourceError with the reason."""
        del number
        raise SourceError(self._reason)

    async def close(self) -> None:
        """Do nothing."""


def _opened_or_unusable(section: ExternalDirectory) -> DirectorySource:
    try:
        return open_directory(section)
    except CallerIdError as error:
        log.warning("directory.unusable", directory=section.name, reason=str(error))
        return UnusableDirectory(section.name, str(error), has_extensions=section.extensions)


def _authentication(section: DirectoryAuthentication | None, tls: SSLContext) -> Authentication:
    if section is None:
        return NoAuthentication()
    if section.kind == "basic":
        return BasicAuthentication(section.user, section.secret_file)
    if section.kind == "bearer":
        return BearerAuthentication(section.secret_file, section.scheme)
    return ClientCredentials(
        tls,
        section.token_url or "",
        section.client_id,
        section.secret_file,
        scope=section.scope,
    )


def _template(section: ExternalDirectory) -> HttpTemplate:
    fields = section.fields
    optional = {
        name: _path(f"fields.{name}", expression)
        for name in ("language", "kind", "shared", "do_not_pop")
        if (expression := getattr(fields, name)) is not None
    }
    mapping = PeopleMapping(
        people=_path("people", section.people),
        record_id=_path("fields.id", fields.id),
        name=_path("fields.name", fields.name),
        numbers=_path("fields.numbers", fields.numbers),
        details={
            name: _path(f"fields.details.{name}", expression)
            for name, expression in fields.details.items()
        },
        **optional,
    )
    following = section.next_page
    return HttpTemplate(
        method=section.method,
        url=section.url,
        mapping=mapping,
        query={name: _json(f"query.{name}", value) for name, value in section.query.items()},
        headers=section.headers,
        body=None if section.body is None else _json("body", section.body),
        next_page=None if following is None else _path("next_page", following),
    )


def _path(setting: str, expression: str) -> ParsedResult:
    try:
        return compiled(expression)
    except TemplateError as error:
        raise TemplateError(f'"{setting}" {error}') from None


def _json(setting: str, value: Json) -> JsonTemplate:
    try:
        return JsonTemplate(value)
    except TemplateError as error:
        raise TemplateError(f'"{setting}" {error}') from None
