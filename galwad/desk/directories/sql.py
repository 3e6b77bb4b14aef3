"""Opens a directory in a view of a database, and the table that gets contact notes there."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import make_url

from callerid.destinations.sql import SqlNotes
from callerid.json_client import TlsFiles, tls_context
from callerid.sources.sql import PeopleView, SqlDirectory
from callerid.sql_database import SqlAddress, SqlDatabase
from config.directories.sql import SqlDirectorySection, SqlNotesSection


def open_sql(section: SqlDirectorySection) -> SqlDirectory:
    """Return the directory of these settings. Nothing is connected yet.

    Raises:
        SourceError: A file with a certificate cannot be used, or the driver is not installed.
    """
    columns = section.columns
    view = PeopleView(
        section.view,
        record_id=columns.id,
        person_name=columns.name,
        numbers=columns.numbers,
        language=columns.language,
        kind=columns.kind,
        shared=columns.shared,
        do_not_pop=columns.do_not_pop,
        details=columns.details,
    )
    database = SqlDatabase(
        _address(section),
        access="read",
        timeout_s=section.timeout,
        connections=section.concurrency,
    )
    return SqlDirectory(section.name, view, database, has_extensions=section.extensions)


def open_sql_notes(section: SqlDirectorySection, notes: SqlNotesSection) -> SqlNotes:
    """Return the destination of contact notes that these settings describe.

    Raises:
        SourceError: A file with a certificate cannot be used, or the driver is not installed.
    """
    address = _address(section)
    if notes.user is not None:
        url = make_url(address.url).set(username=notes.user)
        address = replace(address, url=str(url), password=notes.password_file)
    database = SqlDatabase(address, access="write", timeout_s=section.timeout, connections=1)
    return SqlNotes(section.name, notes.table, database)


def _address(section: SqlDirectorySection) -> SqlAddress:
    files = TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key)
    tls = tls_context(files) if section.has_tls else None
    return SqlAddress(section.url, section.password_file, tls)
