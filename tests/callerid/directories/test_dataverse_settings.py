"""The settings of a directory in Dataverse: few are needed, and faults are explained.

Loads the examples of docs/crm/dynamics.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.errors import SettingsError
from galwad.settings import load

BASE = """\
[sip]
listen = ["udp:127.0.0.1:5060"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
"""
LEAST = f"""\
{BASE}
[[directories]]
name = "dynamics"
kind = "dataverse"
url = "https://council.crm11.dynamics.com"
tenant_id = "5c8a1f7e-0000-4000-8000-00000000c0c0"
client_id = "0d0f7a52-0000-4000-8000-00000000c1d1"
secret_file = "/run/credentials/galwad-desk.service/galwad.directory.dynamics"
"""
EXAMPLES = re.findall(
    r"```toml\n(.*?)```",
    (Path(__file__).parents[3] / "docs/crm/dynamics.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


@pytest.fixture
def read(tmp_path):
    """Return a function that loads these settings, and returns the directory."""

    def read(text):
        path = tmp_path / "galwad.toml"
        path.write_text(text, encoding="utf-8")
        (directory,) = load(path).directories
        return directory

    return read


def test_the_required_settings_are_enough_for_dataverse(read):
    dynamics = read(LEAST)
    assert dynamics.login_url == "https://login.microsoftonline.com"
    assert (dynamics.table, dynamics.name_column) == ("contacts", "fullname")
    assert dynamics.phone_columns == ("telephone1", "mobilephone", "telephone2", "telephone3")
    assert dynamics.target == "contacts of https://council.crm11.dynamics.com"
    assert (dynamics.concurrency, dynamics.extensions) == (4, False)


def test_the_examples_of_the_documentation_can_be_loaded(read):
    plain, columns, notes = (read(BASE + example) for example in EXAMPLES)
    assert (plain.kind, plain.details) == ("dataverse", {})
    assert columns.phone_columns == ("mobilephone", "telephone1", "telephone2")
    assert columns.details["reference"] == "governmentid"
    assert (columns.contact_notes, notes.contact_notes.purpose_column) == (None, "cc_purpose")


def test_accounts_have_default_columns_of_their_own(read):
    accounts = read(f'{LEAST}table = "accounts"\n')
    assert accounts.name_column == "name"
    assert accounts.phone_columns == ("telephone1", "telephone2", "telephone3")


def test_the_columns_for_the_name_and_for_numbers_can_be_set(read):
    chosen = read(f'{LEAST}phones = ["cc_phone"]\nfull_name = "cc_name"\n')
    assert (chosen.phone_columns, chosen.name_column) == (("cc_phone",), "cc_name")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            LEAST.replace("dynamics.com", "dynamics.com/api/data"),
            "must be an environment's address",
        ),
        (LEAST.replace("https://council", "http://council"), "must be an address that begins with"),
        (LEAST.replace('"5c8a', '"x'), '"directories[1].tenant_id" must be the directory (tenant)'),
        (LEAST.replace('"0d0f', '"/'), '"directories[1].client_id" must be the application'),
        (f"{LEAST}phones = []\n", "must be a list of 1 to 10 columns"),
        (f'{LEAST}phones = ["a eq 1 or b"]\n', "must be a list of 1 to 10 columns"),
        (f'{LEAST}details = {{ x = "a,b" }}\n', '"directories[1].details.x" must be a table'),
        (f'{LEAST}do_not_pop = "A"\n', '"directories[1].do_not_pop" must be a column\'s logical'),
        (f'{LEAST}table = "leads"\n', 'must be "contacts" or "accounts"'),
        (f'{LEAST}login_url = "https://x/y"\n', "must be an address without a path"),
        (f"{LEAST}concurrency = 52\n", "must be a whole number from 1 to 50"),
        (f'{LEAST}contact_notes = {{ purpose = "x" }}\n', "Unknown setting"),
        (f'{LEAST}contact_notes = {{ purpose_column = "X" }}\n', "must be a column's logical name"),
        (f'{LEAST}secret = "hunter2"\n', "Unknown setting"),
        (LEAST.replace('"dataverse"', '"crm"'), 'must be one of "dataverse"'),
    ],
)
def test_each_faulty_setting_has_a_message_that_explains_it(read, text, wanted):
    with pytest.raises(SettingsError) as caught:
        read(text)
    (fault,) = caught.value.faults
    assert wanted in fault.message
    assert "hunter2" not in fault.message
