"""The tables, the roles and the settings of docs/crm/sql.md, for a real PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from helpers.peers.service import CALLER

PASSWORD = "another long random password"
_PAGE = (Path(__file__).parents[3] / "docs/crm/sql.md").read_text(encoding="utf-8")
_EXAMPLES = re.findall(r"```(?:sql|toml)\n(.*?)```", _PAGE, re.DOTALL)
TABLE, SETTINGS = (each for each in _EXAMPLES if "galwad.notes" in each)
(_DIRECTORY,) = (dedent(each) for each in _EXAMPLES if 'view = "crm.callers"' in each)
PEOPLE = f"""
CREATE SCHEMA crm;
CREATE TABLE crm.callers (
    id integer, name text, phone text, mobile text, phone_digits text, mobile_digits text,
    language text, do_not_pop boolean, reference text, address text);
INSERT INTO crm.callers (id, name, phone_digits, language, reference)
    VALUES (7, 'Siân ap Gwynn', '{CALLER}', 'Cymraeg', 'P7');
CREATE ROLE galwad LOGIN PASSWORD '{PASSWORD}';
GRANT USAGE ON SCHEMA crm TO galwad;
GRANT SELECT ON crm.callers TO galwad;
"""


def directory_settings(server, folder):
    """Return the tables of a service's settings that look callers up here, and deliver notes."""
    (folder / "role").write_text(PASSWORD)
    settings = _DIRECTORY.replace("db.example", f"127.0.0.1:{server.port}")
    settings = re.sub(r"^tls = .*\n", "", settings, flags=re.MULTILINE) + SETTINGS
    settings = re.sub(r'password_file = ".*"', f'password_file = "{folder}/role"', settings)
    settings = settings.replace('kind = "sql"', 'kind = "sql"\ntimeout = 9.0')  # for a busy machine
    return settings.replace("{", "{{").replace("}", "}}")
