"""The requests to the provider: its discovery document, its keys, and the exchange of a code.

The provider is not trusted to be available. Each request has a time limit, an answer has a largest
size, and a redirect is never followed. If the documents cannot be read, they are not read again for
some seconds, so that many sign-ins at once do not wait one after the other.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self
from urllib.parse import quote_plus, urlsplit

import httpx2

from galwad.people.oidc.errors import ProviderError, ResponseError, UnknownKeyError
from galwad.people.oidc.pending import PendingSignIn
from galwad.people.oidc.signing_keys import SigningKey, parse_keys, verified_claims
from galwad.settings.desk import SignInSection
from net.addresses import is_secure
from net.authentication import error_code, read_secret
from net.errors import ServerError
from net.json_client import ACCEPTED, failure, http_client, parse_json, read_limited

_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The parts of a discovery document that the sign-in needs.

    `end_session` is empty if the provider offers no sign-out. `secret_place` is the part of a
    request in which the token endpoint takes the client's secret. `names_issuer` is true if each
    response of the provider must name its issuer (RFC 9207).
    """

    issuer: str
    authorization: str
    token: str
    keys: str
    end_session: str = ""
    secret_place: Literal["header", "body"] = "header"  # noqa: S105 - the place, not the secret
    names_issuer: bool = False

    @classmethod
    def parse(cls, document: Any, issuer: str) -> Self:
        """Return the metadata in the document of `issuer`. Raises `ProviderError`."""
        if not isinstance(document, dict):
            raise ProviderError("the discovery document is not an object")
        if document.get("issuer") != issuer:
            raise ProviderError("the issuer in the discovery document is not [sign_in] issuer")
        methods = document.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise ProviderError("the provider does not support PKCE with S256")
        end = document.get("end_session_endpoint")
        return cls(
            issuer,
            _endpoint(document, "authorization_endpoint"),
            _endpoint(document, "token_endpoint"),
            _endpoint(document, "jwks_uri"),
            "" if end is None else _endpoint(document, "end_session_endpoint"),
            _place_of_secret(document.get("token_endpoint_auth_methods_supported")),
            document.get("authorization_response_iss_parameter_supported") is True,
        )


def _endpoint(document: dict[str, Any], name: str) -> str:
    """Return the address of an endpoint, which has TLS or is on this machine."""
    value = document.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isascii():
        raise ProviderError(f"the discovery document has no address in {name}")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ProviderError(f"the discovery document has no address in {name}") from None
    plain = value.isprintable() and " " not in value and not parts.fragment
    if not (host and is_secure(parts) and plain) or parts.username is not None:
        raise ProviderError(f"the discovery document has no address with TLS in {name}")
    return value


def _place_of_secret(methods: Any) -> Literal["header", "body"]:
    """Return where the token endpoint takes the secret; the header if `methods` does not say."""
    if not isinstance(methods, list) or "client_secret_basic" in methods:
        return "header"
    if "client_secret_post" in methods:
        return "body"
    raise ProviderError("the provider takes no client secret at its token endpoint")


KEPT_S: Final = 3600.0
"""The seconds for which the discovery document and the keys are used without asking again."""
KEYS_RENEWED_S: Final = 60.0
"""The least seconds between two requests for the keys because of an unknown key id."""
RETRY_S: Final = 3.0
"""The seconds after a failure in which the discovery document and the keys are not read again."""
CONNECTIONS: Final = 16


class Provider:
    """The provider that the settings name. `clock` returns the monotonic time in seconds."""

    def __init__(self, section: SignInSection, clock: Callable[[], float] = time.monotonic) -> None:
        self._section = section
        self._clock = clock
        self._http: httpx2.AsyncClient | None = None
        self._lock = asyncio.Lock()
        self._metadata: ProviderMetadata | None = None
        self._keys: tuple[SigningKey, ...] = ()
        self._read_at = self._keys_at = self._failed_at = float("-inf")
        self._failure = ""

    @property
    def known(self) -> ProviderMetadata | None:
        """The newest metadata that was read; None before the first time."""
        return self._metadata

    async def metadata(self) -> ProviderMetadata:
        """Return the provider's metadata, at most `KEPT_S` seconds old. Raises `ProviderError`."""
        async with self._lock:
            now = self._clock()
            if self._metadata is not None and now - self._read_at < KEPT_S:
                return self._metadata
            if now - self._failed_at < RETRY_S:
                raise ProviderError(self._failure)
            try:
                url = f"{self._section.issuer.rstrip('/')}/.well-known/openid-configuration"
                found = ProviderMetadata.parse(await self._ask("GET", url), self._section.issuer)
                keys = parse_keys(await self._ask("GET", found.keys))
            except ProviderError as error:
                self._failed_at, self._failure = self._clock(), str(error)
                raise
            self._metadata, self._keys = found, keys
            self._read_at = self._keys_at = now
            return found

    async def redeem(self, code: str, pending: PendingSignIn, redirect_uri: str) -> dict[str, Any]:
        """Exchange a code for an ID token; return the token's claims.

        Raises:
            ResponseError: The provider does not accept the code.
            ProviderError: The provider cannot be reached, or its answer cannot be used.
            TokenError: The token cannot be read, or its signature is not right.
        """
        metadata = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": pending.verifier,
        }
        headers = await self._credentials(metadata, form)
        answer = await self._ask("POST", metadata.token, form, headers)
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise ProviderError("the provider has sent no ID token")
        try:
            return verified_claims(token, self._keys)
        except UnknownKeyError:
            if not await self._renew_keys(metadata):
                raise
        return verified_claims(token, self._keys)

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _renew_keys(self, metadata: ProviderMetadata) -> bool:
        """Read the keys again, because one is missing; return False if that was done just now."""
        async with self._lock:
            if self._clock() - self._keys_at < KEYS_RENEWED_S:
                return False
            self._keys_at = self._clock()
            self._keys = parse_keys(await self._ask("GET", metadata.keys))
            return True

    async def _credentials(
        self, metadata: ProviderMetadata, form: dict[str, str]
    ) -> dict[str, str]:
        """Add the client's secret to the form, or return it in a header field (RFC 6749, 2.3.1)."""
        try:
            secret = await asyncio.to_thread(read_secret, self._section.secret_file)
        except ServerError as error:
            raise ProviderError(str(error)) from None
        if metadata.secret_place == "body":  # noqa: S105 - the place, not the secret
            form |= {"client_id": self._section.client_id, "client_secret": secret}
            return {}
        pair = f"{quote_plus(self._section.client_id)}:{quote_plus(secret)}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    async def _ask(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            async with asyncio.timeout(self._section.timeout):
                client = await self._client()
                fields = {**ACCEPTED, **(headers or {})}
                async with client.stream(method, url, data=form, headers=fields) as response:
                    body = await read_limited(response)
            if response.is_success:
                return parse_json(body)
        except TimeoutError:
            raise ProviderError("the provider does not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = failure(error) if isinstance(error, httpx2.HTTPError) else "a wrong address"
            raise ProviderError(f"the provider cannot be asked: {reason}") from None
        except ServerError as error:
            raise ProviderError(f"the provider cannot be asked: {error}") from None
        code = error_code(body) or "unknown"
        if form is not None and code == "invalid_grant":
            raise ResponseError("the provider does not accept the code")
        raise ProviderError(f"the provider answers with status {response.status_code}: {code}")

    async def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            context = await asyncio.to_thread(self._section.tls.context)
            if self._http is None:
                self._http = http_client(context, CONNECTIONS)
        return self._http
