"""The directories in which callers are looked up: a module for each kind.

It has the settings of the kind, the source that is searched, and the destination of contact notes
if there is one. The libraries that send requests are imported when a directory is opened, because
all processes read the settings. Where most of a source is the use of such a library, it is in a
module of its own.
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
