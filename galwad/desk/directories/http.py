"""Opens a directory that is asked over HTTP and answers in JSON."""

from __future__ import annotations

from ssl import SSLContext

from jmespath.parser import ParsedResult

from callerid.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    ClientCredentials,
    NoAuthentication,
)
from callerid.errors import TemplateError
from callerid.json_client import Authentication, JsonClient, TlsFiles, tls_context
from callerid.people_mapping import PeopleMapping, compiled
from callerid.sources.http import HttpDirectory, HttpTemplate
from callerid.templates import Json, JsonTemplate
from config.directories.http import DirectoryAuthentication, HttpDirectorySection


def open_http(section: HttpDirectorySection) -> HttpDirectory:
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


def _template(section: HttpDirectorySection) -> HttpTemplate:
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
