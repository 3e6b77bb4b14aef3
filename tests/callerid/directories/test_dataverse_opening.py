"""A directory in Dataverse, and the destination of notes there, are opened with all settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callerid.directories.dataverse import DataverseSection
from callerid.note import EarlierDelivery
from callerid.number import PhoneNumber
from helpers.dataverse import CLIENT, SECRET, TENANT, dataverse
from helpers.notes import NOTE
from net.errors import ServerError

__all__ = ["dataverse"]

NUMBER = PhoneNumber("+441632960001")


@pytest.fixture
def section(dataverse, tmp_path):
    """Return a function that returns the settings of a directory in the environment."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)

    def section(**more):
        settings = {
            "name": "dynamics",
            "kind": "dataverse",
            "url": f"{dataverse.url}/",
            "login_url": f"{dataverse.url}/",
            "tenant_id": TENANT,
            "client_id": CLIENT,
            "secret_file": str(secret),
            "tls": {"ca": str(dataverse.ca)},
        }
        return DataverseSection.model_validate({**settings, **more})

    return section


async def search(section):
    directory = section.open()
    try:
        return directory, await directory.find(NUMBER)
    finally:
        await directory.close()


async def test_the_configured_columns_reach_the_search(dataverse, section):
    key = dataverse.add(
        "contacts", lastname="Elin", telephone3="01632 960001", cc_language=100000001
    )
    settings = section(
        phones=["telephone3"],
        full_name="lastname",
        language="cc_language",
        do_not_pop="cc_donotpop",
        shared="donotphone",
        details={"tongue": "cc_language"},
        extensions=True,
    )
    directory, (person,) = await search(settings)
    assert (directory.name, directory.has_extensions) == ("dynamics", True)
    assert (person.person_id, person.name, person.language) == (f"dynamics:{key}", "Elin", "cy")
    assert person.details == (("tongue", "Cymraeg"),)


async def test_the_default_columns_find_contacts_and_accounts(dataverse, section):
    dataverse.add("contacts", firstname="Elin", telephone2="01632 960001")
    dataverse.add("accounts", name="Elin Ltd", telephone3="01632 960001")
    assert len((await search(section()))[1]) == 1
    assert len((await search(section(table="accounts")))[1]) == 1


@pytest.mark.parametrize(("column", "code"), [("cc_purpose", 100000001), (None, None)])
async def test_every_setting_of_contact_notes_reaches_the_phone_call(
    dataverse, section, column, code
):
    account = dataverse.add("accounts", name="Elin Ltd")
    settings = section(table="accounts", contact_notes={"purpose_column": column})
    note = replace(
        NOTE,
        call_id="c1",
        line="Bins",
        person_id=account,
        purpose="Missed",
        purpose_code="100000001",
    )
    notes = settings.open_notes()
    await notes.deliver(note, EarlierDelivery())
    await notes.close()
    (row,) = dataverse.rows["phonecalls"].values()
    assert (notes.name, row["subject"]) == ("dynamics", "Bins: Missed [c1]")
    assert (row["_regardingobjectid_value"], row["cc_purpose"]) == (account, code)


def test_a_certificate_that_cannot_be_used_is_an_error(section, tmp_path):
    with pytest.raises(ServerError, match="cannot use the TLS files"):
        section(tls={"ca": str(tmp_path / "none")}).open()
