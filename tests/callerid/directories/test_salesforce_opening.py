"""A directory in Salesforce and its contact notes are opened as their settings say."""

from __future__ import annotations

import pytest

from callerid.directories.salesforce import SalesforceDirectorySection
from callerid.note import EarlierDelivery, OutgoingNote
from callerid.number import PhoneNumber
from helpers.salesforce import CLIENT_ID, SECRET, Salesforce
from helpers.salesforce_client import certified
from net.errors import ServerError

NUMBER = PhoneNumber("+441632960001")
NOTE = OutgoingNote(
    call_id="20261125-014106-n23icn7w",
    version=1,
    started=1_782_862_200.0,
    line="Council Tax",
    advisor="sian",
    person_id="",
    reference="",
    purpose="Bins",
    purpose_code="",
    language="cy",
    outcome="",
    caller_type="self",
    on_behalf_of="",
    authority="",
    notes="",
    recording_url="",
)


@pytest.fixture
async def organisation(tmp_path):
    organisation = Salesforce()
    await organisation.start(certified(tmp_path)[1])
    yield organisation
    await organisation.stop()


@pytest.fixture
def section(organisation, tmp_path):
    """Return a function that returns the settings of a directory in the organisation."""
    elin = {"LastName": "Fictitious", "Phone": "01632 960001", "Email": "elin@example.org"}
    organisation.add("Contact", **elin, No_Pop__c="yes", Language__c="cy")
    organisation.add("Lead", **elin)
    (tmp_path / "secret").write_text(SECRET)

    def section(**more):
        known = {
            "name": "crm",
            "kind": "salesforce",
            "url": organisation.url,
            "client_id": CLIENT_ID,
            "secret_file": str(tmp_path / "secret"),
            "tls": {"ca": str(tmp_path / "salesforce-ca.crt")},
        }
        return SalesforceDirectorySection.model_validate({**known, **more})

    return section


async def search(section):
    directory = section.open()
    try:
        return await directory.find(NUMBER)
    finally:
        await directory.close()


async def test_the_required_settings_are_enough_to_find_a_contact(section):
    (person,) = await search(section())
    assert (person.name, person.numbers, person.details) == ("Fictitious", ("01632 960001",), ())


async def test_the_settings_reach_the_search_and_the_people_found(section):
    fields = {
        "name": "LastName",
        "numbers": ["Phone"],
        "language": "Language__c",
        "do_not_pop": "No_Pop__c",
        "details": {"email": "Email"},
    }
    (person,) = await search(section(fields=fields))
    assert (person.name, person.language, person.do_not_pop) == ("Fictitious", "cy", True)
    assert person.details == (("email", "elin@example.org"),)
    (lead,) = await search(section(object="Lead"))
    assert lead.person_id.startswith("crm:00Q")
    assert section(extensions=True).open().has_extensions


async def test_a_wrong_secret_is_an_error_without_the_secret(section, tmp_path):
    (tmp_path / "secret").write_text("hunter2")
    with pytest.raises(ServerError) as caught:
        await search(section())
    assert str(caught.value) == "no token is issued: the server answers 400 (invalid_client)"


async def test_a_version_of_the_api_that_does_not_exist_is_an_error(section):
    with pytest.raises(ServerError, match=r"answers 404 \(NOT_FOUND\)"):
        await search(section(api_version="99.0"))


async def test_a_contact_note_is_written_into_the_field_of_the_settings(section, organisation):
    settings = section(contact_notes={})
    destination = settings.open_notes()
    record_id = await destination.deliver(NOTE, EarlierDelivery())
    assert destination.name == "crm"
    assert organisation.records["Task"][record_id]["Galwad_Call__c"] == NOTE.call_id
    elsewhere = section(contact_notes={"external_id": "Other__c"}).open_notes()
    with pytest.raises(ServerError, match=r"answers 404 \(NOT_FOUND\)"):
        await elsewhere.deliver(NOTE, EarlierDelivery())
    await destination.close()
    await elsewhere.close()
