"""The web page that an external directory, such as a CRM, has about a person."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from callerid.person import Person, record_id_in


@dataclass(frozen=True, slots=True)
class RecordPage:
    """The address of the page of any record in one directory. It never has a telephone number."""

    directory: str
    """The name of the directory."""
    template: str
    """The address, with `{id}` in the place of the record's id."""
    before_confirmation: bool = False
    """True if the advisor may open the page before confirming the caller."""

    def url_for(self, person: Person) -> str | None:
        """Return the address of this person's page; None if the directory does not have the person.

        The id comes from the directory. It is escaped, so that it cannot change the rest of the
        address. An id of dots has no page, because browsers take dots for other folders.
        """
        record_id = record_id_in(self.directory, person.entries)
        if not record_id.strip("."):
            return None
        return self.template.replace("{id}", quote(record_id, safe="", errors="replace"))
