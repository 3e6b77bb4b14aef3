"""Opens a directory in Salesforce, and the destination of contact notes there."""

from __future__ import annotations

from datetime import tzinfo
from functools import partial

from callerid.authentication import ClientCredentials
from callerid.destinations.salesforce import SalesforceNotes
from callerid.json_client import JsonClient, TlsFiles, tls_context
from callerid.note_destination import NoteDestination
from callerid.salesforce import SalesforceApi, check_token
from callerid.sources.salesforce import SalesforceDirectory, SalesforceFields
from config.directories.salesforce import SalesforceDirectorySection, SalesforceNotesSection


def open_salesforce(section: SalesforceDirectorySection) -> SalesforceDirectory:
    """Return the directory of these settings.

    Raises:
        SourceError: A file with a certificate cannot be used.
    """
    fields = SalesforceFields(
        section.object,
        section.fields.name,
        section.numbers,
        language=section.fields.language or "",
        do_not_pop=section.fields.do_not_pop or "",
        details=section.fields.details,
    )
    return SalesforceDirectory(
        section.name, _api(section), fields, has_extensions=section.extensions
    )


def open_salesforce_notes(
    section: SalesforceDirectorySection, notes: SalesforceNotesSection, zone: tzinfo | None
) -> NoteDestination:
    """Return the destination of contact notes in the organisation of these settings.

    `zone` is the time zone of the tasks' dates; with None, it is the time zone of this machine.

    Raises:
        SourceError: A file with a certificate cannot be used.
    """
    return SalesforceNotes(section.name, _api(section), notes.external_id, zone)


def _api(section: SalesforceDirectorySection) -> SalesforceApi:
    tls = tls_context(TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key))
    credentials = ClientCredentials(
        tls,
        f"{section.url}/services/oauth2/token",
        section.client_id,
        section.secret_file,
        check=partial(check_token, url=section.url),
    )
    client = JsonClient(credentials, tls, connections=section.concurrency)
    return SalesforceApi(client, section.url, section.api_version)
