"""The settings that every kind of `[[directories]]` has."""

from __future__ import annotations

from abc import abstractmethod
from datetime import tzinfo
from typing import Self

from pydantic import Field, model_validator

from callerid.limited_source import CacheLimits, SourceLimits
from callerid.note import NoteDestination
from callerid.source import DirectorySource
from config.fields import Flag, Number, Whole
from config.section import Section, TlsSection
from config.values import PAGE, PageTemplate


class ExternalDirectorySection(Section):
    """The settings that every kind of `[[directories]]` has."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description='1 to 32 lower-case letters, digits and hyphens, such as "crm"',
    )
    extensions: Flag = Field(
        default=False, description="true if internal extensions are looked up there, else false"
    )
    concurrency: Whole = Field(default=4, ge=1, le=50, description="a whole number from 1 to 50")
    timeout: Number = Field(
        default=8.0, ge=0.1, le=9.0, description="a number of seconds from 0.1 to 9"
    )
    keep_found: Number = Field(
        default=300.0, ge=0, le=3600, description="a number of seconds from 0 to 3600"
    )
    keep_not_found: Number = Field(
        default=60.0, ge=0, le=3600, description="a number of seconds from 0 to 3600"
    )

    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')
    page: PageTemplate | None = Field(default=None, description=PAGE)
    page_before_confirmation: Flag = Field(
        default=False, description="true if advisors may open the page at once, otherwise false"
    )

    @property
    def limits(self) -> SourceLimits:
        """The limits for the requests to the directory."""
        cache = CacheLimits(self.keep_found, self.keep_not_found)
        return SourceLimits(self.concurrency, self.timeout, cache)

    @property
    def takes_notes(self) -> bool:
        """True if contact notes are delivered to this system."""
        return getattr(self, "contact_notes", None) is not None

    @property
    @abstractmethod
    def target(self) -> str:
        """The server and the form of its requests, as `galwad directory test` shows them."""

    @abstractmethod
    def open(self) -> DirectorySource:
        """Return the directory of these settings. Nothing is connected yet.

        Raises:
            TemplateError: A placeholder or an expression is wrong.
            ServerError: A file with a certificate cannot be used, or a driver is not installed.
        """

    def open_notes(self, zone: tzinfo | None = None) -> NoteDestination | None:
        """Return the destination of contact notes; None if this directory gets no contact notes.

        `zone` is the time zone of dates in the notes; None means this machine's time zone. The
        errors are those of `open`.
        """
        del zone
        return None

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name == "directory":
            raise ValueError('needs another "name": "directory" is Galwad\'s own directory')
        return self

    @model_validator(mode="after")
    def _check_page(self) -> Self:
        if self.page_before_confirmation and self.page is None:
            raise ValueError('needs "page" for "page_before_confirmation"')
        return self
