"""The part of OData's `$filter` that Microsoft Dataverse documents, for the stand-in of Dataverse.

See "Filter rows using OData" (learn.microsoft.com). Texts are compared without regard to case.
"""

from __future__ import annotations

import json
import re

IN = "Microsoft.Dynamics.CRM.In"
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<list>\[[^\]]*\])
    | (?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<alias>@\w+)
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<sign>[(),=])
    )""",
    re.VERBOSE,
)
_COMPARED = {
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
}
_PATTERNS = {"startswith": "{}%", "endswith": "%{}", "contains": "%{}%"}
_LIKE = {"%": ".*", "_": "."}
_WORDS = {"true": True, "false": False, "null": None}


class FilterError(Exception):
    """The filter cannot be read, or names a column that does not exist."""


def compiled_filter(text, columns, aliases):
    """Return a function that says whether a row passes the filter.

    `columns` are the types of the columns by their names, `aliases` the values of `@name`.
    """
    return _Parser(text, columns, aliases).whole()


class _Parser:
    def __init__(self, text, columns, aliases):
        self.text, self.columns, self.aliases = text, columns, aliases
        self.tokens = list(_tokens(text))
        self.at = 0

    def whole(self):
        found = self.any_of()
        if self.peek()[0] != "end":
            self.fail()
        return found

    def fail(self):
        raise FilterError(f"Syntax error at position {self.peek()[2]} in '{self.text}'.")

    def peek(self):
        return self.tokens[self.at]

    def take(self, *wanted):
        kind, value, _ = self.peek()
        if wanted and value not in wanted:
            self.fail()
        self.at += 1
        return kind, value

    def any_of(self):
        parts = [self.all_of()]
        while self.peek()[:2] == ("name", "or"):
            self.take()
            parts.append(self.all_of())
        return lambda row: any(part(row) for part in parts)

    def all_of(self):
        parts = [self.one()]
        while self.peek()[:2] == ("name", "and"):
            self.take()
            parts.append(self.one())
        return lambda row: all(part(row) for part in parts)

    def one(self):
        kind, value = self.take()
        if value == "not":
            inner = self.one()
            return lambda row: not inner(row)
        if value == "(" and kind == "sign":
            inner = self.any_of()
            self.take(")")
            return inner
        if kind != "name":
            self.at -= 1
            self.fail()
        if value == IN:
            return self.in_list()
        if value in _PATTERNS:
            return self.pattern(_PATTERNS[value])
        if value not in self.columns:
            raise FilterError(f"Could not find a property named '{value}'.")
        return self.comparison(value)

    def comparison(self, column):
        compare = _COMPARED[self.take(*_COMPARED)[1]]
        wanted = self.literal()
        if not _fits(wanted, self.columns[column]):
            raise FilterError("A binary operator with incompatible types was detected.")
        if wanted is None:
            return lambda row: compare(row.get(column) is None, True)
        return lambda row: row.get(column) is not None and compare(_key(row[column]), _key(wanted))

    def pattern(self, form):
        self.take("(")
        column = self.take()[1]
        if column not in self.columns:
            raise FilterError(f"Could not find a property named '{column}'.")
        self.take(",")
        wanted = self.literal()
        self.take(")")
        if not isinstance(wanted, str):
            raise FilterError("No function signature matches the specified arguments.")
        pattern = re.compile(_like(form.format(wanted)), re.IGNORECASE | re.DOTALL)
        return lambda row: pattern.fullmatch(str(row.get(column) or "")) is not None

    def in_list(self):
        self.take("(")
        given = {}
        while True:
            name = self.take("PropertyName", "PropertyValues")[1]
            self.take("=")
            given[name] = self.literal()
            if self.take(",", ")")[1] == ")":
                break
        column, values = given.get("PropertyName"), given.get("PropertyValues")
        if column not in self.columns:
            raise FilterError(f"Could not find a property named '{column}'.")
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise FilterError("PropertyValues is not a Collection(Edm.String).")
        wanted = {_key(each) for each in values}
        return lambda row: row.get(column) is not None and _key(str(row[column])) in wanted

    def literal(self):
        kind, value = self.take()
        if kind == "alias":
            if value not in self.aliases:
                raise FilterError(f"The parameter alias '{value}' has no value.")
            tokens = list(_tokens(self.aliases[value]))
            if len(tokens) != 2:
                raise FilterError(f"The value of '{value}' cannot be read.")
            kind, value = tokens[0][:2]
        if kind == "text":
            return value[1:-1].replace("''", "'")
        if kind == "list":
            return _json_list(value)
        if kind == "number":
            return float(value)
        if kind == "guid":
            return value.lower()
        if kind == "name" and value in _WORDS:
            return _WORDS[value]
        self.at -= 1
        return self.fail()


def _tokens(text):
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise FilterError(f"There is an unterminated literal at position {at} in '{text}'.")
        kind = str(match.lastgroup)
        yield kind, match[kind], at
        at = match.end()
    yield "end", "", at


def _json_list(text):
    """Return a list of texts, which may be in single quotes if no text has such a quote."""
    if '"' not in text:
        text = text.replace("'", '"')
    try:
        return json.loads(text)
    except ValueError:
        raise FilterError("Invalid JSON. A comma character ',' was expected.") from None


def _fits(value, kind):
    if value is None:
        return True
    if kind in {"choice", "state", "number"}:
        return isinstance(value, float)
    if kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, str)


def _key(value):
    return value.casefold() if isinstance(value, str) else value


def _like(text):
    """Return the pattern of SQL's LIKE as a regular expression."""
    parts = re.findall(r"\[\^?.[^\]]*\]|.", text, re.DOTALL)
    return "".join(_LIKE.get(part) or _like_class(part) for part in parts)


def _like_class(part):
    if len(part) == 1:
        return re.escape(part)
    negated = "^" if part.startswith("[^") else ""
    return f"[{negated}{re.escape(part[1 + len(negated) : -1])}]"
