"""Opens a directory in a view of a database."""

from __future__ import annotations

from callerid.json_client import TlsFiles, tls_context
from callerid.sources.sql import PeopleView, SqlDirectory
from callerid.sql_database import SqlAddress, SqlDatabase
from config.directories.sql import SqlDirectorySection


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


def _address(section: SqlDirectorySection) -> SqlAddress:
    files = TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key)
    tls = tls_context(files) if section.has_tls else None
    return SqlAddress(section.url, section.password_file, tls)
