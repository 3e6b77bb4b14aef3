"""The settings of a directory of any kind."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from config.directories.dataverse import DataverseSection
from config.directories.http import HttpDirectorySection
from config.directories.salesforce import SalesforceDirectorySection

ExternalDirectory: TypeAlias = Annotated[
    DataverseSection | HttpDirectorySection | SalesforceDirectorySection,
    Field(discriminator="kind"),
]
"""The settings of one directory. The setting `kind` says which settings it has."""
