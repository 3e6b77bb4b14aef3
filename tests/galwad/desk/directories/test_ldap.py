"""The directory of LDAP settings is opened with all of them."""

from __future__ import annotations

import sys

import pytest

from callerid.errors import SourceError
from callerid.json_client import TlsFiles
from config.directories.ldap import LdapDirectorySection
from galwad.desk.directories import open_directory

STAFF = {
    "name": "staff",
    "kind": "ldap",
    "url": "ldaps://dc1.council.example:6360",
    "base": "dc=council",
}


def opened(**more):
    return open_directory(LdapDirectorySection.model_validate({**STAFF, **more}))


def test_every_setting_reaches_the_directory(tmp_path, authority):
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
    assert (directory._base, directory._restriction) == ("dc=council", "(objectClass=person)")
    server = directory._server
    assert (server.url, server.start_tls) == ("ldaps://dc1.council.example:6360", False)
    assert (server.user, server.password) == ("cn=galwad", secret)
    assert server.tls == TlsFiles(authority.path)
    assert directory._attributes.all == ["employeeNumber", "cn", "mobile", "pager", "lang", "mail"]
    assert (directory._threads._max_workers, directory._timeout_s) == (2, 3.0)


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "callerid.sources.ldap", raising=False)
    monkeypatch.setitem(sys.modules, "ldap", None)  # so that its import fails
    with pytest.raises(SourceError, match=r'needs python-ldap: install "galwad\[ldap\]", as docs/'):
        opened()


def test_a_certificate_that_is_missing_is_named(tmp_path):
    with pytest.raises(SourceError, match="cannot use the TLS files: No such file"):
        opened(tls={"ca": str(tmp_path / "ca.pem")})
