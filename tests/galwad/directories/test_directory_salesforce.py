"""`galwad directory test`, with the example of docs/crm/salesforce.md.

Covers `galwad/directories/lookup_command.py`.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from helpers.salesforce import CLIENT_ID, SECRET, Salesforce
from helpers.salesforce_client import certified

PAGE = Path(__file__).parents[3] / "docs/crm/salesforce.md"


@pytest.fixture
async def organisation(tmp_path):
    organisation = Salesforce()
    organisation.add("Contact", FirstName="Mair", LastName="Evans", HomePhone="01632 960001")
    organisation.add("Contact", FirstName="Eve", LastName="Suffix", Phone="+33 1632 960001")
    await organisation.start(certified(tmp_path)[1])
    yield organisation
    await organisation.stop()


@pytest.fixture
def config(settings_file, organisation, tmp_path):
    """Settings with the first example of the documentation, for this organisation."""
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "secret").write_text(SECRET)
    text = example[1].replace("https://council.my.salesforce.com", organisation.url)
    text = text.replace("3MVG9...", CLIENT_ID)
    text = re.sub(r'secret_file = ".*"', f'secret_file = "{tmp_path / "secret"}"', text)
    text += f'tls = {{ ca = "{tmp_path / "salesforce-ca.crt"}" }}\n'
    settings_file.write_text(settings_file.read_text(encoding="utf-8") + text, encoding="utf-8")
    return settings_file


async def test_the_example_of_the_documentation_finds_the_contact_and_shows_no_name(
    run, config, organisation
):
    words = ("directory", "test", "01632960001", "--source", "salesforce", "--config", config)
    done = await asyncio.to_thread(run, *words)
    assert done.status == 0, done.err
    target = f"{organisation.url}/services/data/v65.0/parameterizedSearch"
    assert f"salesforce  POST {target}" in done.out
    assert "kept       salesforce:003" in done.out
    assert "discarded  salesforce:003" in done.out
    for secret in ("Mair", "Eve", SECRET):
        assert secret not in done.out
