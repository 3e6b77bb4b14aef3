"""The directories in which callers are looked up: a module for each kind.

A module has the settings of its kind, the source that is searched, and the destination of contact
notes if there is one. The kind "http" has the destination in `http_notes`. `embedded` has only a
source, because Galwad's own directory is not among `[[directories]]`. The libraries that send
requests are imported when a directory is opened, because all processes read the settings.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from callerid.directories.dataverse import DataverseSection
from callerid.directories.http import HttpDirectorySection
from callerid.directories.ldap import LdapDirectorySection
from callerid.directories.salesforce import SalesforceDirectorySection
from callerid.directories.sql import SqlDirectorySection

ExternalDirectory: TypeAlias = Annotated[
    DataverseSection
    | HttpDirectorySection
    | LdapDirectorySection
    | SalesforceDirectorySection
    | SqlDirectorySection,
    Field(discriminator="kind"),
]
"""The settings of one directory. The setting `kind` says which settings it has."""
