"""Requests to Salesforce's REST API, for looking people up and for writing contact notes.

See the REST API Developer Guide (developer.salesforce.com).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import httpx2

from callerid.errors import SourceBusyError, SourceError, StatusError
from callerid.json_client import JsonClient, JsonRequest, parse_json
from callerid.templates import Json

_ERRORS: Final = frozenset({300, *range(400, 600)})
_CODE: Final = re.compile(r"[A-Z][A-Z_]{1,63}")
_USED_UP: Final = "REQUEST_LIMIT_EXCEEDED"
"""The code of the error 403 if the organisation has used up its requests of the last 24 hours."""
_USED_UP_REST_S: Final = 60.0


def check_token(document: Json, url: str) -> None:
    """Check that the answer with a token names the server `url`, to which the token will be sent.

    Raises:
        SourceError: The token is for another server.
    """
    instance = document.get("instance_url") if isinstance(document, dict) else None
    if not isinstance(instance, str) or instance.rstrip("/").lower() != url.lower():
        raise SourceError('the token is for another server: set "url" to your My Domain')


class SalesforceApi:
    """The REST API of one Salesforce organisation.

    Args:
        client: The client that sends the requests.
        url: The address of My Domain, without a slash at its end.
        version: The version of the API, such as "65.0".
    """

    def __init__(self, client: JsonClient, url: str, version: str) -> None:
        self._client = client
        self._base = f"{url}/services/data/v{version}"

    async def send(
        self, method: str, path: str, body: Json, query: Sequence[tuple[str, str]] = ()
    ) -> Json:
        """Send a request; return the document of the answer, or None if it has none.

        Raises:
            SourceBusyError: Salesforce asks for a rest, or the requests of the day are used up.
            StatusError: Salesforce refuses the request.
            SourceError: Salesforce cannot be reached, or its answer cannot be read.
        """
        request = JsonRequest(method, f"{self._base}/{path}", query, body=body)
        answer = await self._client.exchange(request, _ERRORS)
        if answer.status in _ERRORS:
            code = error_code(answer.body)
            if code == _USED_UP:
                raise SourceBusyError(_USED_UP_REST_S)
            raise StatusError(answer.status, code)
        return None if answer.status == httpx2.codes.NO_CONTENT else parse_json(answer.body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def error_code(text: bytes) -> str:
    """Return the code of the first error in the document of an error; "" if there is none."""
    try:
        document = parse_json(text)
    except SourceError:
        return ""
    first = document[0] if isinstance(document, list) and document else None
    code = first.get("errorCode") if isinstance(first, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
