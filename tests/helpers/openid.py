"""An OpenID provider that signs what a test wants: forged tokens, other keys, broken documents."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import warnings
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from galwad.settings.desk import SignInSection
from helpers.http_server import HttpServer, answer

CLIENT = "galwad"
SECRET = "a secret/with: signs"
TENANT = "6f1c4f0e-5a54-4b6f-9a0e-0d4d5b1d7c11"
ROLES = {"Galwad.Advisor": "advisor", "Galwad.Lead": "supervisor", "Galwad.Admin": "admin"}
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
KEYS = {"RS256": RSA, "PS256": RSA, "ES256": EC, "EdDSA": ED}


def signed(claims, algorithm="RS256", key=None, **header):
    """Return a token with these claims, signed as said."""
    key = key if key is not None else KEYS[algorithm]
    fields = {"alg": algorithm, "kid": getattr(key, "kid", None) or "rsa", **header}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        return jws.serialize_compact(
            {name: value for name, value in fields.items() if value is not None},
            payload,
            key,
            registry=registry,
        )


def signed_with_public_key(claims):
    """Return a token whose HMAC has the provider's public key as its secret (RFC 8725, 2.1)."""
    header = {"alg": "HS256", "kid": "rsa"}
    parts = [urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims)]
    text = b".".join(part.rstrip(b"=") for part in parts)
    mac = hmac.digest(RSA.as_pem(private=False), text, "sha256")
    return f"{text.decode()}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def public(*keys):
    """Return the set of these keys."""
    return {"keys": [{**key.as_dict(private=False), "use": "sig"} for key in keys]}


@dataclass
class FakeProvider:
    """Answers for the provider. Tests change its fields, or set `broken` for one path."""

    server: HttpServer = field(default_factory=HttpServer)
    keys: dict = field(default_factory=lambda: public(RSA, EC, ED))
    claims: dict = field(default_factory=dict)
    """Claims that differ from the right ones; None leaves a claim out."""
    token: str = ""
    """A whole token, in place of one that is made from the claims."""
    metadata: dict = field(default_factory=dict)
    broken: dict[str, bytes | None] = field(default_factory=dict)
    """The answers of some paths, octet by octet; None never answers."""
    nonces: dict[str, str] = field(default_factory=dict)
    redeemed: set[str] = field(default_factory=set)
    forms: list[dict] = field(default_factory=list)

    @property
    def issuer(self):
        return f"{self.server.url}/{TENANT}/v2.0"

    async def start(self):
        self.server.handler = self._answer
        await self.server.start()

    def asked(self, part):
        """Return how often a path with this part was requested."""
        return sum(part in each.path for each in self.server.received)

    def approve(self, url, code="a-code", **more):
        """Return the response parameters after the person has signed in at `url`."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT
        self.nonces[code] = query["nonce"]
        return {"code": code, "state": query["state"], "iss": self.issuer, **more}

    def right_claims(self, code="a-code"):
        now = time.time()
        return {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": int(now),
            "exp": int(now) + 3600,
            "nonce": self.nonces.get(code, ""),
            "sub": "pairwise-1",
            "oid": "00000000-0000-0000-0000-000000000001",
            "tid": TENANT,
            "preferred_username": "sian.parry@council.example",
            "roles": ["Galwad.Advisor"],
        }

    async def _answer(self, request, _writer):
        for part, sent in self.broken.items():
            if part in request.path:
                if sent is None:
                    await asyncio.Event().wait()
                return sent
        if request.path.endswith("/.well-known/openid-configuration"):
            return answer(self._document())
        if request.path.endswith("/keys"):
            return answer(self.keys)
        if request.path.endswith("/token"):
            return self._redeem(dict(parse_qsl(request.body.decode())))
        return answer({}, "404 Not Found")

    def _document(self):
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=x",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return {name: value for name, value in document.items() if value is not None}

    def _redeem(self, form):
        self.forms.append(form)
        code = form["code"]
        if code in self.redeemed or code not in self.nonces:
            return answer({"error": "invalid_grant", "error_description": code}, "400 Bad Request")
        self.redeemed.add(code)
        claims = {**self.right_claims(code), **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        return answer({"id_token": self.token or signed(claims), "token_type": "Bearer"})


@pytest.fixture
async def provider():
    provider = FakeProvider()
    await provider.start()
    yield provider
    await provider.server.stop()


@pytest.fixture
def section(provider, tmp_path):
    """Return a function that returns the settings for the provider; None leaves one out."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")

    def section(**more):
        values = {
            "issuer": provider.issuer,
            "client_id": CLIENT,
            "secret_file": secret,
            "identity": "oid",
            "tenant": TENANT,
            "roles": ROLES,
            "timeout": 5.0,
            **more,
        }
        given = {name: value for name, value in values.items() if value is not None}
        return SignInSection.model_validate(given)

    return section
