"""The settings of a directory of any kind."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from config.directories.dataverse import DataverseSection
from config.directories.http import HttpDirectorySection
from config.directories.ldap import LdapDirectorySection
from config.directories.salesforce import SalesforceDirectorySection
from config.directories.sql import SqlDirectorySection

ExternalDirectory: TypeAlias = Annotated[
    DataverseSection
    | HttpDirectorySection
    | LdapDirectorySection
    | SalesforceDirectorySection
    | SqlDirectorySection,
    Field(discriminator="kind"),
]
"""The settings of one directory. The setting `kind` says which settings it has."""
