"""OpenLDAP's server slapd, as an ordinary process on the loopback."""

from __future__ import annotations

import os
import signal
import subprocess

from helpers.loopback import free_port
from helpers.peers.kamailio import Daemon
from helpers.peers.programs import program
from helpers.peers.waiting import stop_group

BASE = "dc=council,dc=example"
USER = f"cn=galwad,{BASE}"
PASSWORD = "hunter2-ŵ"
_NAME = "127.1"
"""A name of this machine, which needs no DNS. libldap takes another name instead of "localhost"."""
_SETTINGS = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.721 NAME 'ipPhone' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' AUXILIARY MAY ipPhone )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit unlimited
database config
database mdb
suffix "{base}"
directory {folder}/database
index ipPhone eq
maxsize 104857600
rootdn "cn=root,{base}"
access to attrs=userPassword by anonymous auth
access to attrs=preferredLanguage by dn.exact="{user}" read
access to * by dn.exact="{user}" read by anonymous read
"""
_START = f"""
dn: {BASE}
objectClass: organization
objectClass: dcObject
o: Council
dc: council

dn: {USER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: galwad
userPassword: {PASSWORD}
"""


def person(uid, place="", **attributes):
    """Return an LDIF entry of a person; an attribute may have a list of values.

    The entry is in `place`, such as "ou=People", below the base.
    """
    parent = f"{place},{BASE}" if place else BASE
    lines = [f"dn: uid={uid},{parent}", f"uid: {uid}", f"sn: {uid}"]
    lines += [f"objectClass: {each}" for each in ("inetOrgPerson", "user")]
    for name, values in {"cn": uid, **attributes}.items():
        lines += [f"{name}: {each}" for each in (values if isinstance(values, list) else [values])]
    return "\n".join(lines)


class OpenLdap(Daemon):
    """A server with a database of its own, at ldap://127.0.0.1 and ldaps://127.1.

    Args:
        folder: An empty folder.
        authority: The authority that signs the server's certificate.
        entries: The LDIF entries besides the base and Galwad's account.
        rights: Changes of the settings (LDIF), such as further rules of access.
    """

    def __init__(self, folder, authority, entries=(), rights=""):
        certificate, key = authority.issue(f"slapd-{folder.name}", _NAME, "127.0.0.1")
        (folder / "database").mkdir()
        text = folder / "slapd.conf"
        text.write_text(
            _SETTINGS.format(folder=folder, certificate=certificate, key=key, base=BASE, user=USER)
        )
        self._settings = folder / "settings"
        self._settings.mkdir()
        self._run("slapadd", "-f", text, "-q", given="\n\n".join([_START, *entries]))
        self._run("slaptest", "-f", text, "-F", self._settings)  # translates the settings
        if rights:
            self._run("slapmodify", "-F", self._settings, "-n", "0", given=rights)
        self.port, self.tls_port = free_port(), free_port()
        self._start(folder)

    @staticmethod
    def _run(name, *arguments, given=""):
        command = [program(name, "slapd"), *arguments]
        done = subprocess.run(
            command, input=given.encode(), capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode()

    def _start(self, folder):
        urls = f"{self.url} ldaps://127.0.0.1:{self.tls_port} ldaps://127.0.0.2:{self.tls_port}"
        command = [program("slapd", "slapd"), "-d", "0", "-F", self._settings, "-h", urls]
        super().__init__(folder, command)
        self.wait_for(self._answers)

    @property
    def url(self):
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self):
        return f"ldaps://{_NAME}:{self.tls_port}"

    def _answers(self):
        command = [program("ldapwhoami", "ldap-utils"), "-x", "-H", self.url]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def restart(self):
        """Start it again after its end."""
        self._start(self.folder)

    def stop(self):
        """Stop it for a while, as an overloaded machine would."""
        stop_group(self.process.pid)

    def go_on(self):
        os.killpg(self.process.pid, signal.SIGCONT)
