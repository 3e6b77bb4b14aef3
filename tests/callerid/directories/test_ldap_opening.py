"""The directory of LDAP settings is opened with all of them."""

from __future__ import annotations

import sys

import pytest

from callerid.directories.ldap import LdapDirectorySection
from callerid.number import PhoneNumber
from net.errors import ServerError

STAFF = {
    "name": "staff",
    "kind": "ldap",
    "url": "ldaps://dc1.council.example:6360",
    "base": "dc=council",
}


def opened(**more):
    return LdapDirectorySection.model_validate({**STAFF, **more}).open()


def test_the_settings_reach_the_directory(tmp_path, authority):
    secret = tmp_path / "password"
    names = {
        "id": ["employeeNumber"],
        "name": ["cn"],
        "numbers": ["mobile"],
        "extensions": ["pager"],
        "language": "lang",
        "details": {"email": "mail"},
    }
    directory = opened(
        user="cn=galwad",
        secret_file=str(secret),
        filter="(objectClass=person)",
        attributes=names,
        extensions=False,
        tls={"ca": str(authority.path)},
        concurrency=2,
        timeout=3.0,
    )
    assert (directory.name, directory.has_extensions) == ("staff", False)
    assert directory.filter_for(PhoneNumber("", "201")).startswith(
        "(&(objectClass=person)(|(pager="
    )
    assert directory._attributes.all == ["employeeNumber", "cn", "mobile", "pager", "lang", "mail"]
    assert directory._threads._max_workers == 2


def test_the_missing_package_python_ldap_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ldap.filter", None)  # so that its import fails
    with pytest.raises(ServerError, match=r'needs python-ldap: install "galwad\[ldap\]", as docs/'):
        opened()


def test_a_certificate_that_is_missing_is_named(tmp_path):
    with pytest.raises(ServerError, match="cannot use the TLS files: No such file"):
        opened(tls={"ca": str(tmp_path / "ca.pem")})
