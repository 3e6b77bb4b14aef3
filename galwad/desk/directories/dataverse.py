"""Opens a directory in Microsoft Dataverse, and the destination of contact notes there."""

from __future__ import annotations

from callerid.authentication import ClientCredentials
from callerid.destinations.dataverse import DataverseNotes
from callerid.json_client import JsonClient, TlsFiles, tls_context
from callerid.note_destination import NoteDestination
from callerid.sources.dataverse import DataverseColumns, DataverseDirectory
from config.directories.dataverse import DataverseNotesSection, DataverseSection


def open_dataverse(section: DataverseSection) -> DataverseDirectory:
    """Return the directory of these settings.

    Raises:
        SourceError: A file with a certificate cannot be used.
    """
    columns = DataverseColumns(
        table=section.table,
        name=section.name_column,
        phones=section.phone_columns,
        language=section.language or "",
        do_not_pop=section.do_not_pop or "",
        shared=section.shared or "",
        details=tuple(section.details.items()),
    )
    return DataverseDirectory(
        section.name,
        section.url,
        columns,
        _client(section),
        has_extensions=section.extensions,
    )


def open_dataverse_notes(
    section: DataverseSection, notes: DataverseNotesSection
) -> NoteDestination:
    """Return the destination of contact notes of these settings.

    Raises:
        SourceError: A file with a certificate cannot be used.
    """
    return DataverseNotes(
        section.name,
        section.url,
        section.table,
        _client(section),
        purpose_column=notes.purpose_column or "",
    )


def _client(section: DataverseSection) -> JsonClient:
    tls = tls_context(TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key))
    credentials = ClientCredentials(
        tls,
        f"{section.login_url.rstrip('/')}/{section.tenant_id}/oauth2/v2.0/token",
        section.client_id,
        section.secret_file,
        scope=f"{section.url.rstrip('/')}/.default",
    )
    return JsonClient(credentials, tls, connections=section.concurrency)
