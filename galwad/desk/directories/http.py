"""Opens a directory that is asked over HTTP and answers in JSON, and gets contact notes so."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ssl import SSLContext

from jmespath.parser import ParsedResult

from callerid.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    ClientCredentials,
    NoAuthentication,
)
from callerid.destinations.http import HttpNotes, NoteRequest, NoteSearch, NoteTemplates
from callerid.earlier_contacts import ContactsMapping
from callerid.errors import TemplateError
from callerid.json_client import Authentication, JsonClient, TlsFiles, tls_context
from callerid.note_templates import AddressTemplate, NoteTemplate
from callerid.people_mapping import PeopleMapping, compiled
from callerid.sources.http import (
    HttpContacts,
    HttpDirectory,
    HttpSearch,
    HttpTemplate,
    SearchableHttpDirectory,
)
from callerid.templates import Json, NumberTemplate, RecordTemplate, TextTemplate
from config.directories.http import (
    DirectoryAuthentication,
    HttpContactsSection,
    HttpDirectorySection,
    HttpNotesSection,
    HttpSearchSection,
    NoteRequestSection,
    NoteSearchSection,
)


def open_http(section: HttpDirectorySection) -> HttpDirectory:
    """Return the directory of these settings.

    Raises:
        TemplateError: A placeholder or an expression is wrong.
        SourceError: A file with a certificate cannot be used.
    """
    template = _template(section)
    search = None if section.search is None else _search(section.search)
    contacts = None if section.earlier_contacts is None else _contacts(section.earlier_contacts)
    client = _client(section, empty_statuses=section.not_found)
    if search is None:
        return HttpDirectory(
            *(section.name, template, client),
            has_extensions=section.extensions,
            contacts=contacts,
        )
    return SearchableHttpDirectory(
        *(section.name, template, search, client),
        has_extensions=section.extensions,
        contacts=contacts,
    )


def open_http_notes(section: HttpDirectorySection, notes: HttpNotesSection) -> HttpNotes:
    """Return the destination of contact notes of these settings.

    Raises:
        TemplateError: A placeholder or an expression is wrong.
        SourceError: A file with a certificate cannot be used.
    """
    return HttpNotes(section.name, _note_templates(notes), _client(section))


def _client(section: HttpDirectorySection, empty_statuses: Collection[int] = ()) -> JsonClient:
    tls = tls_context(TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key))
    return JsonClient(
        _authentication(section.authentication, tls),
        tls,
        connections=section.concurrency,
        empty_statuses=empty_statuses,
    )


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
    return HttpTemplate(
        method=section.method,
        url=section.url,
        mapping=mapping,
        query={name: _json(f"query.{name}", value) for name, value in section.query.items()},
        headers=section.headers,
        body=None if section.body is None else _json("body", section.body),
        next_page=_optional_path("next_page", section.next_page),
    )


def _search(section: HttpSearchSection) -> HttpSearch:
    return HttpSearch(
        section.method,
        section.url,
        {name: _text(f"search.query.{name}", value) for name, value in section.query.items()},
        None if section.body is None else _text("search.body", section.body),
    )


def _contacts(section: HttpContactsSection) -> HttpContacts:
    table, fields = "earlier_contacts", section.fields
    mapping = ContactsMapping(
        contacts=_path(f"{table}.contacts", section.contacts),
        time=_path(f"{table}.fields.time", fields.time),
        subject=_path(f"{table}.fields.subject", fields.subject),
        person=_optional_path(f"{table}.fields.person", fields.person),
        outcome=_optional_path(f"{table}.fields.outcome", fields.outcome),
        text=_optional_path(f"{table}.fields.text", fields.text),
        record_id=_optional_path(f"{table}.fields.id", fields.id),
    )
    return HttpContacts(
        section.method,
        section.url,
        mapping,
        {name: _record(f"{table}.query.{name}", each) for name, each in section.query.items()},
        section.headers,
        None if section.body is None else _record(f"{table}.body", section.body),
    )


def _record(setting: str, value: Json) -> RecordTemplate:
    with _named(setting):
        return RecordTemplate(value)


def _text(setting: str, value: Json) -> TextTemplate:
    with _named(setting):
        return TextTemplate(value)


def _note_templates(section: HttpNotesSection) -> NoteTemplates:
    change = section.change
    return NoteTemplates(
        create=_note_request("contact_notes", section),
        record_id=_optional_path("contact_notes.record_id", section.record_id),
        find=_note_search("contact_notes.find", section.find),
        change=None if change is None else _note_request("contact_notes.change", change),
        find_change=_note_search("contact_notes.change.find", change.find if change else None),
    )


def _note_request(table: str, section: NoteRequestSection) -> NoteRequest:
    return NoteRequest(
        section.method,
        _address(f"{table}.url", section.url),
        _note_json(f"{table}.body", section.body),
        section.headers,
    )


def _note_search(table: str, section: NoteSearchSection | None) -> NoteSearch | None:
    if section is None:
        return None
    return NoteSearch(
        section.method,
        _address(f"{table}.url", section.url),
        records=_path(f"{table}.records", section.records),
        record_id=_path(f"{table}.id", section.id),
        text=_path(f"{table}.text", section.text),
        query={
            name: _note_json(f"{table}.query.{name}", value)
            for name, value in section.query.items()
        },
        body=None if section.body is None else _note_json(f"{table}.body", section.body),
        headers=section.headers,
    )


def _address(setting: str, text: str) -> AddressTemplate:
    with _named(setting):
        return AddressTemplate(text)


def _note_json(setting: str, value: Json) -> NoteTemplate:
    with _named(setting):
        return NoteTemplate(value)


def _optional_path(setting: str, expression: str | None) -> ParsedResult | None:
    return None if expression is None else _path(setting, expression)


def _path(setting: str, expression: str) -> ParsedResult:
    with _named(setting):
        return compiled(expression)


def _json(setting: str, value: Json) -> NumberTemplate:
    with _named(setting):
        return NumberTemplate(value)


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """Add the name of a setting to a TemplateError, whose message is the end of a sentence."""
    try:
        yield
    except TemplateError as error:
        raise TemplateError(f'"{setting}" {error}') from None
