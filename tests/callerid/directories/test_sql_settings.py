"""The settings of a directory in a database, and the examples of docs/crm/sql.md."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from config.errors import SettingsError
from galwad.settings import load

LEAST = """\
[sip]
listen = ["udp:127.0.0.1:5060"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
"""
CRM = """\
[[directories]]
name = "crm"
kind = "sql"
url = "postgresql+asyncpg://galwad@db.example/crm"
view = "crm.callers"
columns = { id = "id", name = "name", numbers = ["phone"] }
"""
URL = "postgresql+asyncpg://galwad@db.example/crm"
PAGE = (Path(__file__).parents[3] / "docs/crm/sql.md").read_text(encoding="utf-8")
EXAMPLES = [dedent(each) for each in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.fixture
def read(tmp_path):
    """Return a function that loads these settings, and returns the directory."""

    def read(text):
        path = tmp_path / "galwad.toml"
        path.write_text(LEAST + text, encoding="utf-8")
        (directory,) = load(path).directories
        return directory

    return read


@pytest.fixture
def fault(read):
    """Return a function that loads settings with one fault, and returns its message."""

    def fault(text):
        with pytest.raises(SettingsError) as caught:
            read(text)
        (only,) = caught.value.faults
        return only.message

    return fault


def test_each_example_of_the_documentation_can_be_loaded(read):
    postgresql, notes, sqlite, mssql = EXAMPLES
    for example, kind in ((postgresql, "postgresql"), (sqlite, "sqlite"), (mssql, "mssql")):
        assert read(example).url.startswith(f"{kind}+")
        assert not read(example).takes_notes
    assert read(postgresql + notes).takes_notes


def test_the_required_settings_are_enough_for_an_encrypted_database(read):
    crm = read(CRM)
    assert (crm.password_file, crm.has_tls, crm.columns.details) == (None, True, {})
    assert crm.target == "SELECT … FROM crm.callers at db.example"


@pytest.mark.parametrize(
    ("host", "more", "encrypted"),
    [
        ("127.0.0.1", "", False),
        ("[::1]:5433", "", False),
        ("localhost", "", False),
        ("127.0.0.1", 'tls = { ca = "/etc/galwad/ca.pem" }', True),
        ("192.0.2.1", "", True),
        ("localhost.example", "", True),
    ],
)
def test_only_a_database_on_this_machine_is_read_without_tls_by_default(
    read, host, more, encrypted
):
    assert read(CRM.replace("db.example", host) + more).has_tls is encrypted


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql+asyncpg://galwad@db.example:5433/crm", "db.example"),
        ("postgresql+asyncpg://gal%20wad@[2001:db8::1]/crm", "2001:db8::1"),
        ("sqlite+aiosqlite:////var/lib/people.db", ""),
        ("mssql+aioodbc://g@db.example/crm?driver=ODBC+Driver+18&Encrypt=yes", "db.example"),
    ],
)
def test_each_kind_of_address_is_accepted(read, url, host):
    directory = read(CRM.replace(URL, url))
    assert directory.url == url
    assert directory.host == host
    assert directory.target.endswith(host or " at /var/lib/people.db")


@pytest.mark.parametrize("password", [":hunter2@", ":@", ":a:b@"])
def test_a_password_in_the_address_is_a_fault_that_does_not_repeat_it(fault, password):
    assert fault(CRM.replace("@db", f"{password}db")) == (
        '"directories[1].url" must have no password: write it into a file, and set '
        '"password_file" to its path'
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://galwad@db.example/crm",
        "postgresql+psycopg://galwad@db.example/crm",
        "postgresql+asyncpg://db.example/crm",
        "postgresql+asyncpg://galwad@db.example",
        "postgresql+asyncpg://galwad@db.example/crm?ssl=disable",
        "postgresql+asyncpg://galwad@db.example/crm?host=evil.example",
        "postgresql+asyncpg://galwad@127.0.0.1@evil.example/crm",
        "postgresql+asyncpg://galwad@evil.example,127.0.0.1/crm",
        "postgresql+asyncpg://galwad@db.example/crm\n",
        "mssql+aioodbc://galwad@db.example/crm?driver=x&Encrypt=no",
        "mssql+aioodbc://galwad@db.example/crm?driver=x&Encrypt=yes&TrustServerCertificate=yes",
        "mssql+aioodbc://galwad@db.example/crm?driver=x%3BEncrypt%3Dno&Encrypt=yes",
        "sqlite+aiosqlite:///people.db",
        "sqlite+aiosqlite:////people.db?mode=memory",
        "sqlite+aiosqlite://",
        "",
    ],
)
def test_an_unsupported_or_unsafe_database_address_is_a_fault(fault, url):
    message = fault(CRM.replace(URL, url.replace("\n", "\\n")))
    assert message.startswith('"directories[1].url" must be an address such as "postgresql+')


def test_an_address_must_have_a_query_for_sql_server_and_none_for_other_databases(fault):
    query = "?driver=ODBC&Encrypt=yes"
    for url in (URL + query, "mssql+aioodbc://galwad@db.example/crm"):
        assert fault(CRM.replace(URL, url)).startswith('"directories[1].url" must end with "?dri')


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (CRM.replace('["phone"]', "[]"), '"directories[1].columns.numbers" must be a list of 1'),
        (CRM.replace('["phone"]', '["a\\u0000"]'), "must be a list of 1 to 10 columns"),
        (CRM.replace('"crm.callers"', '"db.crm.callers"'), 'must be a view or table, such as "crm'),
        (CRM.replace('"crm.callers"', '""'), 'must be a view or table, such as "crm'),
        (CRM.replace("id = ", "ident = ", 1), 'Unknown setting "directories[1].columns.ident"'),
        (CRM.replace('"crm"', '"directory"', 1), 'needs another "name"'),
        (
            f'{CRM}contact_notes = {{ table = "notes", user = "galwad_notes" }}',
            'needs both "user" and "password_file", or neither',
        ),
        (
            CRM.replace(URL, "sqlite+aiosqlite:////people.db") + 'tls = { ca = "/ca.pem" }',
            'can have "tls" only for postgresql',
        ),
    ],
)
def test_each_faulty_setting_has_a_message_that_explains_it(read, text, wanted):
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert wanted in "\n".join(fault.message for fault in caught.value.faults)


def test_names_of_views_and_columns_may_have_any_visible_character(read):
    name = "pobl ŵ'; DROP TABLE x; --"
    crm = read(CRM.replace('"crm.callers"', f'"{name}"').replace('"phone"', f'"{name}"'))
    assert (crm.view, crm.columns.numbers) == (name, (name,))
