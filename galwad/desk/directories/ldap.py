"""Opens a directory that is asked over LDAP, such as OpenLDAP or Active Directory."""

from __future__ import annotations

from callerid.errors import SourceError
from callerid.json_client import TlsFiles, tls_context
from callerid.source import DirectorySource
from config.directories.ldap import LdapDirectorySection


def open_ldap(section: LdapDirectorySection) -> DirectorySource:
    """Return the directory of these settings.

    Raises:
        SourceError: python-ldap is not installed, or a file with a certificate cannot be used.
    """
    try:
        from callerid.sources.ldap import (  # noqa: PLC0415 - python-ldap is optional
            LdapAttributes,
            LdapDirectory,
            LdapServer,
        )
    except ImportError:
        raise SourceError(
            'needs python-ldap: install "galwad[ldap]", as docs/crm/ldap.md says'
        ) from None
    files = TlsFiles(section.tls.ca, section.tls.certificate, section.tls.key)
    tls_context(files)  # names a file that cannot be used; libldap does not
    server = LdapServer(
        section.url,
        start_tls=section.start_tls,
        tls=files,
        user=section.user,
        password=section.secret_file,
    )
    names = section.attributes
    attributes = LdapAttributes(
        record_id=names.id,
        name=names.name,
        numbers=names.numbers,
        extensions=names.extensions,
        language=names.language,
        details=names.details,
    )
    return LdapDirectory(
        section.name,
        server,
        section.base,
        attributes,
        restriction=section.filter or "",
        has_extensions=section.extensions,
        concurrency=section.concurrency,
        timeout_s=section.timeout,
    )
