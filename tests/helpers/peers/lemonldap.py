"""The portal of LemonLDAP::NG as an OpenID provider: an ordinary process on the loopback.

Its demonstration mode knows three people, each with their name as the password: dwho, rtyler and
msmith. A second factor, the code `CODE`, is asked for only if a client needs the level `STRONG`.
"""

from __future__ import annotations

import json
import os
import secrets
import time

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from helpers.loopback import free_port
from helpers.peers.programs import program
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import Child

CLIENT = "galwad"
SECRET = "a-secret-of-the-tests"
"""LemonLDAP::NG compares it undecoded, so it must have no character that RFC 6749 encodes."""
CODE = "123456"
STRONG = "loa-2"
_SHARED = "/usr/share/lemonldap-ng/portal"
_SETTINGS = """[all]
logLevel = notice
[configuration]
type = File
dirName = {folder}/conf
[portal]
staticPrefix = /static
templateDir = {shared}/templates
languages = en
"""
_PORTAL = """use Plack::Builder;
use Lemonldap::NG::Portal::Main;
my $portal = Lemonldap::NG::Portal::Main->run({{}});
builder {{
  enable "Static", path => qr{{^/static/}}, root => "{shared}/htdocs";
  enable "Static", path => sub {{ s{{^/javascript/}}{{}} }}, root => "/usr/share/javascript";
  sub {{
    local $SIG{{CHLD}} = "DEFAULT";  # or Starman takes the status of the second factor's programs
    $portal->(@_);
  }};
}};
"""


class LemonLdap:
    """A portal. It needs the address of the desk, so it starts after the desk."""

    def __init__(self, folder):
        self._folder = folder / "lemonldap"
        for each in ("conf", "sessions/lock", "persistent/lock"):
            (self._folder / each).mkdir(parents=True)
        self._port = free_port()
        self.issuer = f"http://127.0.0.1:{self._port}"
        self._secret = self._folder / "sign-in.secret"
        self._secret.write_text(SECRET)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        self._public = (
            key.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )
        self._key = secrets.token_hex(16)
        shared = _SHARED
        (self._folder / "portal.psgi").write_text(_PORTAL.format(shared=shared))
        settings = _SETTINGS.format(folder=self._folder, shared=shared)
        (self._folder / "lemonldap-ng.ini").write_text(settings)
        self._process = None

    def start(self, desk, roles):
        """Start the portal, or start it again with other roles. Its sessions stay.

        `desk` is the address of the desk's page, and `roles` has the role of each person by login
        name.
        """
        self.end()
        document = json.dumps(self._configuration(desk, roles))
        (self._folder / "conf" / "lmConf-1.json").write_text(document)
        with (self._folder / "log").open("ab") as log:
            self._process = Child(
                [
                    *(program("starman", "starman"), "--workers", "3"),
                    *("--listen", f"127.0.0.1:{self._port}", str(self._folder / "portal.psgi")),
                ],
                env={
                    **os.environ,
                    "LLNG_DEFAULTCONFFILE": str(self._folder / "lemonldap-ng.ini"),
                },
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            assert time.monotonic() < until, (self._folder / "log").read_text()[-3000:]
            time.sleep(0.2)

    def _is_ready(self):
        address = f"{self.issuer}/.well-known/openid-configuration"
        try:
            return "issuer" in httpx2.get(address, timeout=PATIENCE_S).json()
        except (httpx2.HTTPError, ValueError):
            return False

    def settings(self, roles, **more):
        """Return the table `[sign_in]`, in which braces are doubled for `Service`."""
        table = ", ".join(f'"{name}" = "{role}"' for name, role in roles.items())
        return (
            f'\n[sign_in]\nissuer = "{self.issuer}"\nclient_id = "{CLIENT}"\n'
            f'secret_file = "{self._secret}"\nroles = {{{{ {table} }}}}\n'
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())
        )

    def end(self):
        """End the portal. Repeating this changes nothing."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def _configuration(self, desk, roles):
        given = " : ".join(f'$uid eq "{name}" ? "{role}"' for name, role in roles.items())
        return {
            "cfgNum": 1,
            "cfgAuthor": "tests",
            "cfgDate": "1",
            "cfgVersion": "2.21.0",
            "portal": f"{self.issuer}/",
            "domain": "#PORTAL#",
            "cookieName": "lemonldap",
            "securedCookie": 0,
            "key": self._key,
            **self._people(),
            **self._stores(),
            "issuerDBOpenIDConnectActivation": 1,
            "oidcServiceMetaDataIssuer": self.issuer,
            "oidcServicePrivateKeySig": self._private,
            "oidcServicePublicKeySig": self._public,
            "oidcServiceKeyIdSig": "one",
            "oidcServiceAllowAuthorizationCodeFlow": 1,
            "oidcServiceMetaDataAuthnContext": {"loa-1": 1, STRONG: 2},
            "oidcRPMetaDataOptions": {CLIENT: _client(desk)},
            "oidcRPMetaDataExportedVars": {
                CLIENT: {"preferred_username": "uid", "roles": "roles;string;always"}
            },
            "oidcRPMetaDataOptionsExtraClaims": {CLIENT: {"profile": "preferred_username roles"}},
            "oidcRPMetaDataMacros": {CLIENT: {"roles": f'{given} : ""'}},
        }

    def _people(self):
        """Return the settings of the demonstration's people, and of their second factor."""
        return {
            "authentication": "Demo",
            "userDB": "Same",
            "passwordDB": "Null",
            "registerDB": "Null",
            "demoExportedVars": {"uid": "uid"},
            "whatToTrace": "uid",
            **dict.fromkeys(
                (
                    "captcha_login_enabled",
                    "captcha_mail_enabled",
                    "captcha_register_enabled",
                    "portalDisplayRegister",
                    "portalDisplayResetPassword",
                ),
                0,
            ),
            "ext2fActivation": 1,
            "ext2fAuthnLevel": 2,
            "ext2fCodeActivation": "",
            "ext2FSendCommand": program("true", "coreutils"),
            "ext2FValidateCommand": f"{program('test', 'coreutils')} $code = {CODE}",
            "sfOnlyUpgrade": 1,
            "skipRenewConfirmation": 1,
            "skipUpgradeConfirmation": 1,
        }

    def _stores(self):
        """Return the settings of the files with sessions, which all worker processes share."""
        empty = ("locationRules", "exportedHeaders", "vhostOptions", "macros", "groups")
        return {
            **{name: {} for name in (*empty, "exportedVars")},
            **{f"{kind}Storage": "Apache::Session::File" for kind in ("global", "persistent")},
            "globalStorageOptions": self._store("sessions"),
            "persistentStorageOptions": self._store("persistent"),
            "localSessionStorage": "",
            "tokenUseGlobalStorage": 1,
            "forceGlobalStorageIssuerOTT": 1,
            "forceGlobalStorageUpgradeOTT": 1,
        }

    def _store(self, name):
        folder = self._folder / name
        generator = "Lemonldap::NG::Common::Apache::Session::Generate::SHA256"
        return {
            "Directory": str(folder),
            "LockDirectory": str(folder / "lock"),
            "generateModule": generator,
        }


def _client(desk):
    """Return what LemonLDAP::NG knows of Galwad."""
    return {
        f"oidcRPMetaDataOptions{name}": value
        for name, value in {
            "ClientID": CLIENT,
            "ClientSecret": SECRET,
            "RedirectUris": f"{desk}/api/v1/sign-in/callback",
            "PostLogoutRedirectUris": f"{desk}/",
            "IDTokenSignAlg": "RS256",
            "IDTokenForceClaims": 1,
            "BypassConsent": 1,
            "RequirePKCE": 1,
        }.items()
    }
