"""The settings of a directory that is asked over LDAP."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

STAFF = """\
[[directories]]
name = "staff"
kind = "ldap"
url = "ldaps://dc1.council.example"
base = "ou=Staff,dc=council,dc=example"
"""
SECRET = 'secret_file = "/run/credentials/galwad-desk.service/galwad.directory.staff"\n'

EXAMPLES = re.findall(
    r"```toml\n(.*?)```",
    (Path(__file__).parents[3] / "docs/crm/ldap.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


def test_the_required_settings_are_enough_for_ldap_with_extensions(read):
    (staff,) = read(STAFF).directories
    assert (staff.extensions, staff.start_tls, staff.user, staff.secret_file) == (
        *(True, False, ""),
        None,
    )
    assert (staff.host, staff.has_tls) == ("dc1.council.example", True)
    assert staff.target == "ldaps://dc1.council.example ou=Staff,dc=council,dc=example"
    assert staff.attributes.extensions == ("ipPhone", "telephoneNumber")


@pytest.mark.parametrize("place", [0, 1], ids=["openldap", "active-directory"])
def test_each_example_of_the_documentation_can_be_loaded(read, place):
    assert len(EXAMPLES) == 2
    (staff,) = read(textwrap.dedent(EXAMPLES[place])).directories
    assert staff.has_tls
    assert staff.secret_file is not None
    assert staff.filter is not None


@pytest.mark.parametrize(
    ("url", "more", "expected"),
    [
        ("ldap://dc1.council.example", "start_tls = true", ("dc1.council.example", True)),
        ("ldap://dc1.council.example:3890", "start_tls = true", ("dc1.council.example", True)),
        ("ldaps://[2001:db8::1]:6360", "", ("2001:db8::1", True)),
        ("ldap://127.0.0.1:389", "", ("127.0.0.1", False)),
        ("ldap://localhost", "", ("localhost", False)),
        ("ldap://[::1]", "", ("::1", False)),
    ],
)
def test_host_and_tls_are_read_from_the_address_and_start_tls(read, url, more, expected):
    text = STAFF.replace("ldaps://dc1.council.example", url) + more
    (staff,) = read(text).directories
    assert (staff.url, staff.host, staff.has_tls) == (url, *expected)


@pytest.mark.parametrize(
    "url",
    [
        "dc1.council.example",
        "https://dc1.council.example",
        "ldaps://",
        "ldaps://dc1.council.example/dc=x",
        "ldaps://user@dc1.council.example",
        "ldaps://dc1.council.example?x",
        "ldaps://dc1.council.example:99999",
        "ldaps://dc1.council.example:0",
        "ldaps://[dc1",
        "LDAPS://dc1.council.example",
        "ldaps://dc1.council.example,dc2.council.example",
        "ldaps://dc1.council.example ldap://dc2.council.example",
        "ldaps://dc1%2fcouncil.example",
    ],
)
def test_an_address_that_is_not_a_server_is_a_fault(faults, url):
    ((line, message),) = faults(STAFF.replace("ldaps://dc1.council.example", url))
    assert line == 11
    assert 'must be the address of an LDAP server, such as "ldaps://dc1.council.example"' in message


def test_a_server_on_another_machine_needs_tls(faults):
    plain = STAFF.replace("ldaps:", "ldap:")
    ((_, message),) = faults(plain)
    assert 'needs an address with "ldaps://", or "start_tls = true"' in message


def test_start_tls_with_an_ldaps_address_is_a_fault(faults):
    ((_, message),) = faults(STAFF + "start_tls = true")
    assert 'has TLS already by "ldaps://": remove "start_tls"' in message


@pytest.mark.parametrize("half", ['user = "cn=galwad"\n', SECRET])
def test_an_ldap_user_without_a_password_or_a_password_without_a_user_is_a_fault(faults, half):
    ((_, message),) = faults(STAFF + half)
    assert 'needs both "user" and "secret_file", or neither' in message


def test_a_user_with_a_password_is_accepted(read):
    (staff,) = read(STAFF + 'user = "cn=galwad"\n' + SECRET).directories
    assert staff.user == "cn=galwad"
    assert staff.secret_file == Path("/run/credentials/galwad-desk.service/galwad.directory.staff")


@pytest.mark.parametrize("text", ["(objectClass=person)", r"(&(a=b)(!(c=\28)))"])
def test_a_filter_with_balanced_brackets_is_accepted(read, text):
    (staff,) = read(f"{STAFF}filter = '{text}'").directories
    assert staff.filter == text


@pytest.mark.parametrize("text", ["", "x", "(", ")", "(a=b", "(a=b))", "(a=b)(c=d)", "()a(", ")("])
def test_a_filter_without_balanced_brackets_is_a_fault(faults, text):
    ((line, message),) = faults(f"{STAFF}filter = '{text}'")
    assert line == 13
    assert 'must be an LDAP filter, such as "(objectClass=person)", with balanced' in message


@pytest.mark.parametrize("name", ["", "*", "tele phone", "a=b", "a)(b=*", "ŵ", "+", "1.1", "a;b"])
def test_an_invalid_attribute_name_is_a_fault(faults, name):
    found = faults(f'{STAFF}[directories.attributes]\nnumbers = ["{name}"]')
    assert [line for line, _ in found] == [14]


def test_an_empty_list_of_attributes_is_a_fault(faults):
    ((line, _),) = faults(f"{STAFF}[directories.attributes]\nname = []")
    assert line == 14
