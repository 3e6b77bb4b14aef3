"""A stand-in for Microsoft Dataverse and Entra ID: the Web API 9.2 and tokens, on the loopback.

Written from Microsoft's documentation, and proved by Microsoft's own client: see
tests/helpers/test_dataverse.py. It has the tables contact, account and phonecall, keeps their rows
in memory, and refuses what the documentation says that the service refuses. It has no change sets.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
from http import HTTPStatus
from time import time
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

import pytest

from helpers.certificates import Authority
from helpers.http_server import HttpServer, answer
from helpers.odata_filter import FilterError, compiled_filter

TENANT = "5c8a1f7e-0000-4000-8000-00000000c0c0"
CLIENT = "0d0f7a52-0000-4000-8000-00000000c1d1"
SECRET = "a~secret.of-Entra_ID"
ROOT = "/api/data/v9.2/"
FORMATTED = "OData.Community.Display.V1.FormattedValue"
LONGEST_URL = 32_768
LONGEST_URL_IN_BATCH = 65_536
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PARTY = re.compile(r"partyid_(contact|account|systemuser)@odata\.bind")

LABELS = {
    "cc_language": {100000000: "English", 100000001: "Cymraeg"},
    "cc_purpose": {100000000: "Council Tax", 100000001: "Bins"},
    "statecode": {0: "Active", 1: "Inactive", 2: "Canceled"},
}
_ADDRESS = {"address1_composite": "text", "address1_postalcode": "text", "emailaddress1": "text"}
_TELEPHONES = dict.fromkeys(("telephone1", "telephone2", "telephone3"), "text")
COLUMNS = {
    "contacts": {
        **dict.fromkeys(("contactid",), "guid"),
        **dict.fromkeys(("firstname", "lastname", "fullname", "governmentid"), "text"),
        **_TELEPHONES,
        "mobilephone": "text",
        **_ADDRESS,
        "birthdate": "date",
        "donotphone": "boolean",
        "cc_donotpop": "boolean",
        "cc_language": "choice",
        "statecode": "state",
    },
    "accounts": {
        "accountid": "guid",
        **dict.fromkeys(("name", "accountnumber"), "text"),
        **_TELEPHONES,
        **_ADDRESS,
        "statecode": "state",
    },
    "phonecalls": {
        "activityid": "guid",
        **dict.fromkeys(("subject", "description", "phonenumber"), "text"),
        "directioncode": "boolean",
        **dict.fromkeys(("actualstart", "actualend"), "date"),
        "cc_purpose": "choice",
        **dict.fromkeys(("statecode",), "state"),
        "statuscode": "number",
        "_regardingobjectid_value": "guid",
    },
}
KEYS = {"contacts": "contactid", "accounts": "accountid", "phonecalls": "activityid"}
NAMES = {"contact": "contacts", "account": "accounts", "phonecall": "phonecalls"}
_LONGEST = {"description": 2000, "subject": 200}
_READ_ONLY = {"fullname", "_regardingobjectid_value", "address1_composite"}
_STATUSES = {0: {1}, 1: {2, 4}, 2: {3}}
"""The values of `statuscode` that each `statecode` of a phone call can have; 4 is Received."""
_PARTIES = "phonecall_activity_parties"


class ODataError(Exception):
    """An answer with a status that says that a request has failed."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


@pytest.fixture
async def dataverse(tmp_path):
    """An environment of Dataverse without rows."""
    dataverse = Dataverse()
    await dataverse.start(tmp_path)
    yield dataverse
    await dataverse.stop()


class Dataverse:
    """An environment of Dataverse, and the part of Entra ID that issues tokens for it.

    Tests may set `lifetime_s` of the tokens, `denied` (the tables that the application user may not
    use), and `throttled` and `throttled_inside`: the seconds of Retry-After with which requests, or
    the requests inside a batch, are refused. `broken` has the numbers of requests, from 1, whose
    connection breaks "before" or "after" they are carried out.
    """

    def __init__(self):
        self.rows: dict[str, dict] = {name: {} for name in COLUMNS}
        self.parties: dict = {}
        self.lifetime_s = 3599
        self.denied: set = set()
        self.throttled = self.throttled_inside = None
        self.broken: dict[int, str] = {}
        self.tokens: dict = {}
        self.ca = None
        self._version = 1000
        self._server = HttpServer()
        self._server.handler = self._answer

    @property
    def url(self):
        return self._server.url

    @property
    def received(self):
        """The requests, except those for tokens."""
        return [each for each in self._server.received if each.path.startswith(ROOT)]

    async def start(self, folder):
        """Start with a certificate of the authority `ca`, whose files are put into `folder`."""
        authority = Authority(folder, "dataverse-authority")
        self.ca = authority.path
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("dataverse", "127.0.0.1"))
        await self._server.start(context)

    async def stop(self):
        await self._server.stop()

    def add(self, table, **columns):
        """Add a row, as a user does in Dynamics; return its id."""
        key = str(uuid4())
        self._write(table, key, columns, created=True)
        return key

    def revoke_tokens(self):
        self.tokens.clear()

    async def _answer(self, request, writer):
        path = urlsplit(request.target).path
        if not path.startswith(ROOT):
            return self._entra(request, path)
        broken = self.broken.get(len(self.received))
        carried_out = None if broken == "before" else self._web_api(request, path)
        if broken:
            writer.close()
            return None
        return carried_out

    def _web_api(self, request, path):
        headers = {"OData-Version": "4.0"}
        try:
            self._authenticate(request)
            self._admit(request.target, LONGEST_URL, self.throttled)
            if path == f"{ROOT}$batch":
                return self._batch(request)
            status, more, document = self._operation(
                request.method, request.target, request.headers, request.body
            )
        except ODataError as error:
            status, document = error.status, _error(error)
            more = self._retry_after(error, self.throttled)
            if status == HTTPStatus.UNAUTHORIZED:
                more = {"WWW-Authenticate": f"Bearer authorization_uri={self.url}/{TENANT}"}
        body = b"" if document is None else json.dumps(document).encode()
        return answer(body, _status(status), **headers, **more)

    @staticmethod
    def _retry_after(error, seconds):
        return {"Retry-After": seconds} if error.status == HTTPStatus.TOO_MANY_REQUESTS else {}

    def _entra(self, request, path):
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            here = f"{self.url}/{TENANT}"
            return answer(
                {
                    "issuer": f"{here}/v2.0",
                    "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{here}/oauth2/v2.0/token",
                }
            )
        form = dict(parse_qsl(request.body.decode()))
        found = (
            (path == f"/{TENANT}/oauth2/v2.0/token", "invalid_request", 900971),
            (form.get("grant_type") == "client_credentials", "unsupported_grant_type", 70003),
            (form.get("scope") == f"{self.url}/.default", "invalid_scope", 70011),
            (form.get("client_id") == CLIENT, "unauthorized_client", 700016),
            (form.get("client_secret") == SECRET, "invalid_client", 7000215),
        )
        for fine, error, number in found:
            if not fine:
                return _entra_error(error, number)
        token = secrets.token_urlsafe(40)
        self.tokens[token] = time() + self.lifetime_s
        issued = {"token_type": "Bearer", "expires_in": self.lifetime_s, "access_token": token}
        return answer({**issued, "ext_expires_in": self.lifetime_s})

    def _authenticate(self, request):
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self.tokens.get(token, 0) <= time():
            raise ODataError(401, "0x80048306", "The token is missing, wrong or expired.")

    @staticmethod
    def _admit(target, longest, throttled):
        if throttled is not None:
            raise ODataError(429, "0x80072322", "Number of requests exceeded the limit of 6000.")
        if len(target) > longest:
            raise ODataError(414, "", "The request URL is too long.")

    def _batch(self, request):
        try:
            parts = _parts(request)
        except ValueError:
            raise ODataError(400, "", "Invalid multipart content in the batch.") from None
        if len(parts) > 1000:
            raise ODataError(400, "", "The batch has more than 1000 requests.")
        goes_on = "odata.continue-on-error" in request.headers.get("prefer", "")
        boundary, outer, blocks = f"batchresponse_{uuid4()}", 200, []
        for part in parts:
            status, headers, body = self._inner(part)
            lines = [f"HTTP/1.1 {_status(status)}", "OData-Version: 4.0"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            blocks.append("\r\n".join([*lines, "", body]))
            if status >= 400 and not goes_on:
                outer = status
                break
        head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        text = "".join(f"--{boundary}\r\n{head}{block}\r\n" for block in blocks)
        return answer(
            f"{text}--{boundary}--\r\n".encode(),
            _status(outer),
            Content_Type=f"multipart/mixed; boundary={boundary}",
            OData_Version="4.0",
        )

    def _inner(self, part):
        method, target, headers, body = part
        try:
            self._admit(target, LONGEST_URL_IN_BATCH, self.throttled_inside)
            status, more, document = self._operation(method, target, headers, body)
        except ODataError as error:
            status, document = error.status, _error(error)
            more = self._retry_after(error, self.throttled_inside)
        if document is None:
            return status, more, ""
        more = {"Content-Type": "application/json; odata.metadata=minimal", **more}
        return status, more, json.dumps(document, ensure_ascii=False)

    def _operation(self, method, target, headers, body):
        """Carry out one request; return the status, the header fields and the document."""
        parts = urlsplit(target)
        resource = unquote(parts.path).removeprefix(ROOT)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if resource.startswith("EntityDefinitions"):
            return 200, {}, {"value": _definitions(resource, query)}
        table, key, rest = self._segments(resource)
        prefer = headers.get("prefer", "")
        match method, bool(key), rest:
            case "GET", False, None:
                return 200, {}, self._list(table, query, prefer)
            case "GET", True, None:
                return 200, {}, self._get(table, key, query, prefer)
            case ("POST", False, None) | ("PATCH", True, None):
                return self._save(table, key, headers, _json_body(headers, body))
            case "PUT", True, "phonecall_activity_parties":
                self._open_row(table, key)
                parties = [self._party(each) for each in _json_body(headers, body)["value"]]
                self.parties[key] = parties
            case "DELETE", True, None:
                self._row(table, key)
                del self.rows[table][key]
            case _:
                raise ODataError(405, "", "The method is not allowed for the resource.")
        return 204, {}, None

    def _segments(self, resource):
        found = re.fullmatch(r"(\w+)(?:\(([^)]*)\))?(?:/(\w+))?", resource)
        if found is None or found[1] not in self.rows:
            raise ODataError(404, "0x80060888", f"Resource not found for the segment '{resource}'.")
        if found[1] in self.denied:
            raise ODataError(403, "0x80040220", "Principal user is missing a privilege.")
        if found[2] is not None and not _GUID.fullmatch(found[2]):
            raise ODataError(400, "0x80060888", "Bad Request - Error in query syntax.")
        return found[1], found[2] and found[2].lower(), found[3]

    def _row(self, table, key):
        row = self.rows[table].get(key)
        if row is None:
            raise ODataError(404, "0x80040217", f"{table[:-1]} With Id = {key} Does Not Exist")
        return row

    def _open_row(self, table, key):
        row = self._row(table, key)
        if table == "phonecalls" and row["statecode"]:
            raise ODataError(400, "0x80040203", "Cannot update Closed or Cancelled Activity")
        return row

    def _list(self, table, query, prefer):
        known = {"$select", "$filter", "$top", "$orderby"}
        for name in query:
            if name not in known and not name.startswith("@"):
                raise ODataError(400, "0x80060888", f"The query parameter {name} is not supported")
        self._check_columns(table, query.get("$select", KEYS[table]).split(","))
        passes = self._filter(table, query)
        rows = [row for row in self.rows[table].values() if passes(row)]
        column = query.get("$orderby", "").partition(" ")[0]
        if column:
            self._check_columns(table, [column])
            rows.sort(key=lambda row: str(row.get(column) or "").casefold())
        top = query.get("$top", "5000")
        if not top.isdecimal():
            raise ODataError(400, "0x80060888", f"Invalid value '{top}' for $top query option.")
        context = f"{self.url}{ROOT}$metadata#{table}"
        shown = [self._shown(table, row, query, prefer) for row in rows[: min(int(top), 5000)]]
        return {"@odata.context": context, "value": shown}

    @staticmethod
    def _filter(table, query):
        if "$filter" not in query:
            return lambda _row: True
        aliases = {name: value for name, value in query.items() if name.startswith("@")}
        try:
            return compiled_filter(query["$filter"], COLUMNS[table], aliases)
        except FilterError as error:
            raise ODataError(400, "0x80060888", str(error)) from None

    def _get(self, table, key, query, prefer):
        self._check_columns(table, query.get("$select", KEYS[table]).split(","))
        row = self._shown(table, self._row(table, key), query, prefer)
        if "$expand" in query:
            if query["$expand"] != _PARTIES or table != "phonecalls":
                raise ODataError(400, "0x80060888", "Could not find a property to expand.")
            row[_PARTIES] = self.parties.get(key, [])
        return {"@odata.context": f"{self.url}{ROOT}$metadata#{table}/$entity", **row}

    @staticmethod
    def _check_columns(table, names):
        for name in names:
            if name not in COLUMNS[table]:
                message = f"Could not find a property named '{name}' on type '{table[:-1]}'."
                raise ODataError(400, "0x80060888", message)

    def _shown(self, table, row, query, prefer):
        names = query["$select"].split(",") if "$select" in query else list(COLUMNS[table])
        shown = {"@odata.etag": row["@odata.etag"]}
        formatted = re.search(r'odata\.include-annotations="([^"]*)"', prefer)
        for name in [KEYS[table], *names]:
            value = shown[name] = row.get(name)
            if formatted and formatted[1] in {"*", FORMATTED} and value is not None:
                text = _formatted(name, COLUMNS[table][name], value)
                if text:
                    shown[f"{name}@{FORMATTED}"] = text
        return shown

    def _save(self, table, key, headers, changes):
        key = key or str(uuid4())
        exists = key in self.rows[table]
        if headers.get("if-none-match") == "*" and exists:
            raise ODataError(412, "0x80060892", "A record with matching key values already exists.")
        if headers.get("if-match") == "*" and not exists:
            self._row(table, key)
        self._write(table, key, changes, created=not exists)
        return 204, {"OData-EntityId": f"{self.url}{ROOT}{table}({key})"}, None

    def _write(self, table, key, changes, *, created):
        changes = dict(changes)
        if created:
            row: dict = dict.fromkeys(COLUMNS[table])
            row |= {KEYS[table]: key, "statecode": 0, "statuscode": 1, "directioncode": True}
            row = {name: row[name] for name in COLUMNS[table]}
            changes.pop("statecode", None)  # it is not valid for create
        elif {"statecode", "statuscode"} >= changes.keys():
            row = dict(self._row(table, key))
        else:
            row = dict(self._open_row(table, key))
        parties = changes.pop(_PARTIES, None)
        if parties is not None and (table != "phonecalls" or not created):
            raise ODataError(400, "0x80048d19", "A deep update is not supported.")
        for name, value in changes.items():
            self._set(table, row, name, value)
        if table == "phonecalls" and row["statuscode"] not in _STATUSES[row["statecode"]]:
            raise ODataError(400, "0x80048408", "It is not a valid status code for the state code.")
        if table == "contacts":
            row["fullname"] = " ".join(filter(None, (row["firstname"], row["lastname"])))
        self._version += 1
        found = [self._party(each) for each in parties or ()]
        self.rows[table][key] = {**row, "@odata.etag": f'W/"{self._version}"'}
        if created:
            self.parties[key] = found

    def _set(self, table, row, name, value):
        regarding = re.fullmatch(r"regardingobjectid_(contact|account)_phonecall@odata\.bind", name)
        if regarding and table == "phonecalls":
            key = None if value is None else self._bound(NAMES[regarding[1]], value)
            row["_regardingobjectid_value"] = key
            return
        kind = COLUMNS[table].get(name)
        if kind is None or name in _READ_ONLY or "@" in name:
            message = f"An undeclared property '{name}' was found in the payload."
            raise ODataError(400, "0x80048d19", message)
        if not _valid(name, kind, value):
            raise ODataError(400, "0x80048d19", f"Cannot convert the value of '{name}'.")
        if kind == "text" and len(value or "") > _LONGEST.get(name, 100):
            message = f"The length of the '{name}' attribute exceeded the maximum allowed length."
            raise ODataError(400, "0x80044331", message)
        row[name] = value

    def _party(self, party):
        ((bind, kind),) = ((name, found[1]) for name in party if (found := _PARTY.fullmatch(name)))
        if party.keys() - {bind, "participationtypemask"}:
            raise ODataError(400, "0x80048d19", "An undeclared property was found in the payload.")
        if party["participationtypemask"] not in {1, 2}:
            raise ODataError(400, "0x80040203", "A phone call has only senders and recipients.")
        key = self._bound(NAMES[kind], party[bind])
        return {"participationtypemask": party["participationtypemask"], "_partyid_value": key}

    def _bound(self, table, reference):
        found = re.fullmatch(rf"/?{table}\(({_GUID.pattern})\)", reference, re.IGNORECASE)
        if found is None:
            raise ODataError(400, "0x80048d19", "The reference cannot be read.")
        self._row(table, found[1].lower())
        return found[1].lower()


def _definitions(resource, query):
    if resource == "EntityDefinitions":
        found = re.fullmatch(r"LogicalName eq '(\w+)'", query.get("$filter", ""))
        if found is None:
            raise ODataError(400, "0x80060888", "The filter cannot be read.")
        table = NAMES.get(found[1])
        names = {"LogicalName": found[1], "EntitySetName": table}
        return [{**names, "PrimaryIdAttribute": KEYS[table]}] if table else []
    found = re.fullmatch(
        r"EntityDefinitions\(LogicalName='(\w+)'\)/Attributes/"
        r"Microsoft\.Dynamics\.CRM\.PicklistAttributeMetadata",
        resource,
    )
    if found is None or found[1] not in NAMES:
        raise ODataError(404, "0x80060888", "Resource not found.")
    columns = COLUMNS[NAMES[found[1]]]
    return [
        {"LogicalName": name, "OptionSet": {"Options": _options(name)}}
        for name, kind in columns.items()
        if kind == "choice"
    ]


def _options(column):
    return [
        {"Value": value, "Label": {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}}
        for value, text in LABELS[column].items()
    ]


def _formatted(name, kind, value):
    if kind == "boolean":
        return "Do Not Allow" if value else "Allow"
    if kind == "date":
        year, month, day = value[:10].split("-")
        return f"{day}/{month}/{year}"
    return LABELS.get(name, {}).get(value, "")


def _valid(name, kind, value):
    if value is None or kind == "boolean":
        return kind != "state" and isinstance(value, bool | None)
    if kind in {"choice", "state", "number"}:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and (kind != "choice" or value in LABELS[name])
    pattern = {"guid": _GUID.pattern, "date": r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?"}
    return isinstance(value, str) and re.fullmatch(pattern.get(kind, "(?s:.*)"), value) is not None


def _parts(request):
    """Return the method, address, header fields and body of each request in a batch.

    Raises:
        ValueError: The batch cannot be read.
    """
    kind = request.headers.get("content-type", "")
    found = re.fullmatch(r'multipart/mixed;\s*boundary="?([\w.:-]{1,70})"?', kind)
    if found is None:
        raise ValueError
    mark = f"--{found[1]}"
    text = f"\r\n{request.body.decode()}"
    before, *blocks, end = text.split(f"\r\n{mark}")
    if before or not blocks or not end.startswith("--"):
        raise ValueError
    return [_part(block) for block in blocks]


def _part(block):
    first, inner = block.split("\r\n\r\n", 1)
    start, *fields = first.split("\r\n")
    outer = _fields(fields)
    if start or outer.get("content-type") != "application/http":
        raise ValueError
    if outer.get("content-transfer-encoding") != "binary":
        raise ValueError
    head, _, body = inner.partition("\r\n\r\n")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, rest = first.split(" ", 1)
    target, version = rest.rsplit(" ", 1)
    if version != "HTTP/1.1":
        raise ValueError
    if "://" in target:
        target = urlsplit(target)._replace(scheme="", netloc="").geturl()
    return method, target, _fields(lines), body.encode()


def _fields(lines):
    pairs = (line.split(":", 1) for line in lines)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def _json_body(headers, body):
    if not headers.get("content-type", "").startswith("application/json"):
        raise ODataError(415, "", "The content type is not application/json.")
    try:
        document = json.loads(body)
    except ValueError:
        raise ODataError(400, "0x80048d19", "The payload is not JSON.") from None
    if not isinstance(document, dict):
        raise ODataError(400, "0x80048d19", "The payload is not an object.")
    return document


def _status(status):
    return f"{status} {HTTPStatus(status).phrase}"


def _error(error):
    return {"error": {"code": error.code, "message": str(error)}}


def _entra_error(error, number):
    document = {"error": error, "error_description": f"AADSTS{number}: …", "error_codes": [number]}
    return answer(document, _status(401 if error == "invalid_client" else 400))
