"""The settings of a Salesforce organisation, and the examples of docs/crm/salesforce.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callerid.directories.salesforce import SalesforceDirectorySection
from config.errors import SettingsError

CRM = """\
[[directories]]
name = "crm"
kind = "salesforce"
url = "https://council.my.salesforce.com"
client_id = "3MVG9.galwad"
secret_file = "/run/credentials/galwad-desk.service/galwad.directory.crm"
"""
PAGE = Path(__file__).parents[3] / "docs/crm/salesforce.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_required_settings_are_enough_for_salesforce(read):
    (crm,) = read(CRM).directories
    assert isinstance(crm, SalesforceDirectorySection)
    assert (crm.object, crm.fields.name, crm.api_version) == ("Contact", "Name", "65.0")
    assert crm.numbers == ("Phone", "MobilePhone", "HomePhone", "OtherPhone")
    assert crm.target == (
        "POST https://council.my.salesforce.com/services/data/v65.0/parameterizedSearch"
    )


@pytest.mark.parametrize(
    ("name", "numbers"), [("Lead", ("Phone", "MobilePhone")), ("Account", ("Phone",))]
)
def test_the_default_fields_with_numbers_depend_on_the_object(read, name, numbers):
    (crm,) = read(f'{CRM}object = "{name}"\n').directories
    assert crm.numbers == numbers


def test_a_slash_at_the_end_of_the_salesforce_url_is_removed(read):
    (crm,) = read(CRM.replace("force.com", "force.com/")).directories
    assert crm.url == "https://council.my.salesforce.com"


def test_salesforce_contact_notes_are_enabled_only_by_their_table_in_the_settings(read):
    (crm,) = read(CRM).directories
    assert crm.contact_notes is None
    (crm,) = read(f"{CRM}[directories.contact_notes]\n").directories
    assert crm.contact_notes.external_id == "Galwad_Call__c"


def test_the_documentation_has_three_examples_one_of_them_with_contact_notes(read):
    assert len(EXAMPLES) == 3
    notes = [read(example).directories[0].contact_notes for example in EXAMPLES]
    assert [each is not None for each in notes] == [False, False, True]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_documentation_can_be_loaded(read, example):
    (crm,) = read(example).directories
    assert crm.kind == "salesforce"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (CRM.replace("https:", "http:"), '"directories[1].url" must be an address that begins'),
        (
            CRM.replace("force.com", "force.com/services"),
            '"directories[1].url" must be the address of My Domain',
        ),
        (
            CRM.replace("force.com", "force.com?a=b"),
            '"directories[1].url" must be the address of My Domain',
        ),
        (CRM.replace("3MVG9.galwad", ""), "must be the consumer key of the external client app"),
        (f'{CRM}api_version = "v65"\n', 'must be a version of the API, such as "65.0"'),
        (f'{CRM}api_version = "60.0"\n', 'must be version "61.0" of the API or a later one'),
        (f'{CRM}object = "Con tact"\n', 'must be the API name of an object, such as "Contact"'),
        (f'{CRM}object = "Resident__c"\n', 'needs "fields.numbers" for the object "Resident__c"'),
        (f"{CRM}fields.name = 'Name\"'\n", 'must be the API name of a field, such as "Name"'),
        (f'{CRM}fields.numbers = ["a b"]\n', "must be a list of API names of fields"),
        (f"{CRM}fields.details = {{ email = 'a..b' }}\n", "must be a table, such as { email"),
        (
            f'{CRM}[directories.contact_notes]\nexternal_id = "a/b"\n',
            'must be the API name of a field of tasks, such as "Galwad_Call__c"',
        ),
        (f'{CRM}secret = "hunter2"\n', 'Unknown setting "directories[1].secret"'),
        (CRM.replace('"salesforce"', '"sales"'), '"directories[1].kind" must be one of'),
    ],
)
def test_each_faulty_setting_has_a_message_that_explains_it(read, text, wanted):
    with pytest.raises(SettingsError) as caught:
        read(text)
    (fault,) = caught.value.faults
    assert wanted in fault.message
    assert "hunter2" not in fault.message
