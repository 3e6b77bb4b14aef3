"""A Salesforce organisation on the loopback: the part of its REST API that is used here.

It answers and refuses as Salesforce's documentation says. `tests/helpers/test_salesforce.py` shows
that simple-salesforce, a client of the real service, can work with it.

The documentation does not say how the search splits a telephone number into words. So this server
does either: with `joins_digits`, the digits of a number are also one word, without separators.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from urllib.parse import parse_qs, unquote

from helpers.http_server import HttpServer, Received, answer

CLIENT_ID, SECRET = "3MVG9.galwad", "C0FFEE"
MY_DOMAIN = "council.my.salesforce.com"
EXTERNAL_ID = "Galwad_Call__c"
NEWEST = 68
"""The newest version of the API."""
PHONES = {"Phone", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone"}
NAMES = {"Name", "FirstName", "LastName", "Subject"}
TEXTS = {"Id": 18, "FirstName": 40, "LastName": 80, "Email": 80, "Language__c": 40}
PERSON = {*TEXTS, "Name", "Phone", "MobilePhone", "MailingPostalCode", "DoNotCall", "No_Pop__c"}
FIELDS = {
    "Account": {"Id", "Name", "Phone", "AccountNumber"},
    "Contact": {*PERSON, "HomePhone", "OtherPhone", "AssistantPhone", "AccountId"},
    "Lead": {*PERSON, "Company"},
    "Task": {
        *("Id", "Subject", "Description", "WhoId", "WhatId", "Status", "ActivityDate"),
        *("CallType", "TaskSubtype", EXTERNAL_ID),
    },
}
LENGTHS = {**TEXTS, **dict.fromkeys(PHONES, 40), "Subject": 255, "Description": 32_000}
REQUIRED = {"Account": "Name", "Contact": "LastName", "Lead": "LastName", "Task": "Status"}
PREFIXES = {"Account": "001", "Contact": "003", "Lead": "00Q", "Task": "00T"}
CHOICES = {
    "CallType": {"Internal", "Inbound", "Outbound"},
    "TaskSubtype": {"Task", "Email", "ListEmail", "Cadence", "Call", "LinkedIn"},
}
RELATED = {"WhoId": ("Contact", "Lead"), "WhatId": ("Account",)}
RESERVED = set("?&|!{}[]()^~*:\\\"'+-")
GROUPS = {"ALL", "NAME", "EMAIL", "PHONE", "SIDEBAR"}
SEARCH = {"q", "in", "fields", "sobjects", "defaultLimit", "overallLimit", "spellCorrection"}
WORD = re.compile(r"[0-9]+|[^\W0-9_]+")


class RefusedError(Exception):
    """A request that is refused, as Salesforce answers it."""

    def __init__(self, status, code, message, fields=()):
        self.status = status
        self.body = [{"message": message, "errorCode": code, "fields": list(fields)}]


def not_found(message="The requested resource does not exist"):
    return RefusedError("404 Not Found", "NOT_FOUND", message)


def bad(code, message, *fields):
    return RefusedError("400 Bad Request", code, message, fields)


def words(text):
    """Split a text at spaces and punctuation, and between letters and digits."""
    return [word.casefold() for word in WORD.findall(str(text))]


def checked_id(text):
    """Return the id of 18 characters for 15: the last three say which are upper-case letters."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    parts = (text[at : at + 5] for at in (0, 5, 10))
    return text + "".join(
        letters[sum(1 << bit for bit, each in enumerate(part) if each.isupper())] for part in parts
    )


def parsed_search(text):
    """Return the alternatives of a search: lists of phrases, all of which must be found."""
    alternatives: list[list[list[str]]] = [[]]
    rest = text.strip()
    while rest:
        part = re.match(r'"((?:[^"\\]|\\.)*)"|(\S+)', rest)
        if part is None:
            raise bad("MALFORMED_SEARCH", "No closing quotation mark")
        rest = rest[part.end() :].lstrip()
        if part[2] is not None and part[2].upper() == "OR":
            alternatives.append([])
        elif part[2] is None or part[2].upper() != "AND":
            alternatives[-1].append(phrase(part[1] if part[2] is None else part[2]))
    if not all(alternatives):
        raise bad("MALFORMED_SEARCH", "An operator has no search term")
    return alternatives


def phrase(text):
    """Return the words of a phrase, the last one with `*` if it is the beginning of a word.

    Each other reserved character must have a backslash before it.
    """
    start = re.fullmatch(r"(.*[^\W_])\*", text)
    plain = re.sub(r"\\(.)", " ", start[1] if start else text)
    if RESERVED & set(plain):
        raise bad("MALFORMED_SEARCH", "A reserved character must be escaped")
    if len(plain.strip()) < 2:
        raise bad("INVALID_SEARCH", "search term must be longer than one character")
    found = words(plain)
    return [*found[:-1], f"{found[-1]}*"] if start else found


def follow(sought, run):
    """Return whether words are those of a phrase, one after another."""
    *first, last = sought
    for at in range(len(run) - len(first)):
        end = run[at + len(first)]
        fits = end.startswith(last[:-1]) if last.endswith("*") else end == last
        if fits and run[at : at + len(first)] == first:
            return True
    return False


class Salesforce:
    """An organisation with contacts and tasks, whose integration user is `CLIENT_ID`."""

    def __init__(self, *, joins_digits=False):
        self.http = HttpServer()
        self.http.handler = self._handle
        self.records: dict = {name: {} for name in FIELDS}
        self.deleted: set[str] = set()
        self.tokens: set[str] = set()
        self.instance_url = ""
        """The address in the answers with tokens; "" for the address that the client has used."""
        self.requests_left: int | None = None
        """How many requests the organisation has left today; None if there is no limit."""
        self.failures: list[bytes] = []
        """Whole answers that are sent to the next requests to the API."""
        self.joins_digits = joins_digits
        """Whether the digits of a number are also one word, without separators."""
        self._made = 0

    async def start(self, tls=None):
        await self.http.start(tls)

    async def stop(self):
        await self.http.stop()

    @property
    def url(self):
        return self.http.url

    @property
    def received(self):
        return self.http.received

    def add(self, kind, **fields):
        """Create a record as a user does; return its id."""
        return self._create(kind, fields)

    def delete(self, record_id):
        """Delete a record as a user does."""
        self.deleted.add(record_id)
        for records in self.records.values():
            records.pop(record_id, None)

    async def _handle(self, request: Received, _writer):
        if request.path == "/services/oauth2/token":
            return self._token(request)
        try:
            if self.failures:
                return self.failures.pop(0)
            return self._answer(request)
        except RefusedError as refused:
            return answer(refused.body, refused.status)

    def _token(self, request):
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            form["client_id"], _, form["client_secret"] = b64decode(pair).decode().partition(":")
        host = request.headers["host"]
        if form.get("grant_type") != "client_credentials":
            return denied("unsupported_grant_type", "grant type not supported")
        if host in {"login.salesforce.com", "test.salesforce.com"}:
            return denied("invalid_grant", "request not supported on this domain")
        if form.get("client_id") != CLIENT_ID:
            return denied("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != SECRET:
            return denied("invalid_client", "invalid client credentials")
        token = f"00D000000000001!AQ{len(self.tokens)}"
        self.tokens.add(token)
        scheme = "https" if host == MY_DOMAIN else self.http.scheme
        return answer(
            {
                "access_token": token,
                "signature": "c2lnbmVk",
                "scope": "api",
                "instance_url": self.instance_url or f"{scheme}://{host}",
                "id": "https://login.salesforce.com/id/00D/005",
                "token_type": "Bearer",
                "issued_at": "1796000000000",
            }
        )

    def _answer(self, request):
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            message = "Session expired or invalid"
            raise RefusedError("401 Unauthorized", "INVALID_SESSION_ID", message)
        if self.requests_left == 0:
            message = "TotalRequests Limit exceeded."
            raise RefusedError("403 Forbidden", "REQUEST_LIMIT_EXCEEDED", message)
        if self.requests_left is not None:
            self.requests_left -= 1
        path = re.fullmatch(r"/services/data/v([0-9]+)\.0/(.*?)/?", request.path)
        if path is None or not 30 <= int(path[1]) <= NEWEST:
            raise not_found()
        parts = [unquote(part) for part in path[2].split("/")]
        match (request.method, *parts):
            case "POST", "parameterizedSearch":
                return answer({"searchRecords": self._search(document(request))})
            case "GET", "query":
                return answer(self._query(dict(request.query)["q"]))
            case method, "sobjects", kind, *place if kind in FIELDS:
                return self._record(method, kind, place, request, int(path[1]))
        raise not_found()

    def _record(self, method, kind, place, request, version):
        """Answer a request for a record, which is named by its id or by an external id."""
        if not place:
            if method != "POST":
                raise not_found()
            return created(self._create(kind, document(request)))
        if len(place) > 1 and (kind, place[0]) != ("Task", EXTERNAL_ID):
            message = "Provided external ID field does not exist or is not accessible"
            raise not_found(f"{message}: {place[0]}")
        record_id = self._by_external_id(place[1]) if len(place) > 1 else place[0]
        if record_id in self.deleted:
            raise RefusedError("404 Not Found", "ENTITY_IS_DELETED", "entity is deleted")
        if method == "PATCH":
            if record_id is None:
                return self._insert(place[1], request, version)
            return self._update(kind, record_id, place, document(request))
        if record_id not in self.records[kind]:
            raise not_found()
        if method == "GET":
            return answer(self._shown(kind, record_id, sorted(FIELDS[kind])))
        self.delete(record_id)
        return answer(b"", "204 No Content")

    def _insert(self, external_id, request, version):
        if dict(request.query).get("updateOnly") == "true" and version >= 61:
            raise not_found()
        sent = document(request)
        if EXTERNAL_ID in sent:
            raise bad("INVALID_FIELD", f"The {EXTERNAL_ID} field should not be specified")
        return created(self._create("Task", {**sent, EXTERNAL_ID: external_id}))

    def _update(self, kind, record_id, place, sent):
        if record_id not in self.records[kind]:
            raise not_found()
        if "Id" in sent or (len(place) > 1 and EXTERNAL_ID in sent):
            raise bad("INVALID_FIELD", "The id should not be specified in the sobject data")
        self._check(kind, sent, fixed={"TaskSubtype"})
        self.records[kind][record_id].update(sent)
        if len(place) > 1:
            return answer({"id": record_id, "success": True, "errors": [], "created": False})
        return answer(b"", "204 No Content")

    def _by_external_id(self, value):
        for record_id, record in self.records["Task"].items():
            if record.get(EXTERNAL_ID) == value:
                return record_id
        return None

    def _create(self, kind, fields):
        self._check(kind, fields, fixed={"Id"})
        if not fields.get(REQUIRED[kind]):
            missing = REQUIRED[kind]
            raise bad("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{missing}]")
        value = fields.get(EXTERNAL_ID)
        if value is not None and self._by_external_id(value) is not None:
            raise bad("DUPLICATE_VALUE", f"duplicate value found: {EXTERNAL_ID}")
        self._made += 1
        record_id = checked_id(f"{PREFIXES[kind]}{self._made:012}")
        self.records[kind][record_id] = {"Id": record_id, **fields}
        return record_id

    def _check(self, kind, fields, fixed):
        for name, value in fields.items():
            if name not in FIELDS[kind]:
                raise bad("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind}")
            if name in fixed or (name == "Name" and kind != "Account"):
                message = f"Unable to create/update fields: {name}"
                raise bad("INVALID_FIELD_FOR_INSERT_UPDATE", message, name)
            if len(str(value)) > LENGTHS.get(name, 255):
                raise bad("STRING_TOO_LONG", f"{name}: data value too large", name)
            if name in CHOICES and value not in CHOICES[name]:
                message = f"{name}: bad value for restricted picklist field"
                raise bad("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, name)
            if name == "ActivityDate" and not re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)):
                raise bad("JSON_PARSER_ERROR", "Cannot deserialize instance of date")
            if name in RELATED and value is not None:
                self._check_related(name, value)

    def _check_related(self, name, value):
        kinds = RELATED[name]
        start = "|".join(PREFIXES[kind] for kind in kinds)
        if not re.fullmatch(rf"(?:{start})(?:[A-Za-z0-9]{{12}}|[A-Za-z0-9]{{15}})", str(value)):
            raise bad("MALFORMED_ID", f"{name}: id value of incorrect type", name)
        if value in self.deleted:
            raise bad("ENTITY_IS_DELETED", "entity is deleted", name)
        if not any(value in self.records[kind] for kind in kinds):
            raise bad("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", name)

    def _search(self, sent):
        unknown = set(sent) - SEARCH
        if unknown:
            raise bad("JSON_PARSER_ERROR", f"Unrecognized field {min(unknown)}")
        group = sent.get("in", "ALL")
        if group not in GROUPS:
            raise bad("INVALID_SEARCH_SCOPE", "The search group does not exist")
        alternatives = parsed_search(str(sent.get("q", "")))
        found = []
        for wanted in sent["sobjects"]:
            kind, limit = wanted["name"], wanted.get("limit", sent.get("defaultLimit", 2000))
            if kind not in FIELDS:
                raise bad("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
            if not isinstance(limit, int) or not 1 <= limit <= 2000:
                raise bad("INVALID_SEARCH", "the limit must be from 1 to 2000")
            columns = self._columns(kind, wanted.get("fields", sent.get("fields", ["Id"])))
            ids = [
                record_id
                for record_id in self.records[kind]
                if any(
                    all(self._has(kind, record_id, each, group) for each in every)
                    for every in alternatives
                )
            ]
            found += [self._shown(kind, record_id, columns) for record_id in ids[:limit]]
        return found

    def _has(self, kind, record_id, sought, group):
        """Return whether a field of a record has the words of a phrase, one after another."""
        record = {**self.records[kind][record_id], "Name": self._name(kind, record_id)}
        for name, value in record.items():
            if group == "PHONE" and name not in PHONES:
                continue
            if group == "NAME" and name not in NAMES:
                continue
            have = words(value)
            runs = [have]
            if self.joins_digits and name in PHONES:
                runs.append(["".join(re.findall("[0-9]", str(value)))])
            if sought and any(follow(sought, run) for run in runs):
                return True
        return False

    def _name(self, kind, record_id):
        record = self.records[kind][record_id]
        parts = (record.get("FirstName"), record.get("LastName"))
        return record.get("Name") or " ".join(filter(None, parts))

    def _columns(self, kind, columns):
        """Return the columns as they are defined. Their names do not depend on upper case."""
        known = {name.casefold(): name for name in FIELDS[kind]}
        if kind == "Contact":
            known["account.name"] = "Account.Name"
        for column in columns:
            if column.casefold() not in known:
                message = f"No such column '{column}' on entity '{kind}'."
                raise bad("INVALID_FIELD", message)
        return [known[column.casefold()] for column in columns]

    def _shown(self, kind, record_id, columns):
        url = f"/services/data/v{NEWEST}.0/sobjects/{kind}/{record_id}"
        shown: dict = {"attributes": {"type": kind, "url": url}}
        record = {**self.records[kind][record_id], "Name": self._name(kind, record_id)}
        for column in self._columns(kind, columns):
            if column == "Account.Name":
                account = record.get("AccountId")
                shown["Account"] = account and self._shown("Account", account, ["Name"])
            elif column != "Name" or kind != "Task":
                shown[column] = record.get(column)
        return shown

    def _query(self, text):
        """Answer `SELECT A, B FROM C WHERE D = 'e'`; no other SOQL is needed here."""
        found = re.fullmatch(
            r"SELECT ([\w, ]+) FROM (\w+)(?: WHERE (\w+) = '((?:[^'\\]|\\.)*)')?", text
        )
        if found is None:
            raise bad("MALFORMED_QUERY", "unexpected token")
        kind = found[2]
        if kind not in FIELDS:
            raise bad("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        rows = [
            self._shown(kind, record_id, re.split(", *", found[1]))
            for record_id, record in self.records[kind].items()
            if found[3] is None or record.get(found[3]) == found[4].replace("\\'", "'")
        ]
        return {"totalSize": len(rows), "done": True, "records": rows}


def document(request):
    """Return the JSON object that a request brings."""
    try:
        sent = json.loads(request.body)
    except ValueError:
        raise bad("JSON_PARSER_ERROR", "Unexpected character") from None
    if not isinstance(sent, dict):
        raise bad("JSON_PARSER_ERROR", "Can not deserialize")
    return sent


def created(record_id):
    return answer({"id": record_id, "success": True, "errors": [], "created": True}, "201 Created")


def denied(code, description):
    return answer({"error": code, "error_description": description}, "400 Bad Request")
