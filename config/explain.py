"""Messages about the faults of a settings file."""

from __future__ import annotations

import difflib
import re
import tomllib
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.errors import SettingsFault

Location = tuple[int | str, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\"]+)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\-\"]+)\s*=")
_TWICE = re.compile(r"Cannot declare \((.*)\) twice")
_ONE_TABLE = "put all its settings into one place; only [[…]] may be repeated"
_PLACE = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)")


def syntax_fault(error: tomllib.TOMLDecodeError) -> SettingsFault:
    """Return a fault for a file that is not valid TOML, from the error of the TOML parser."""
    message = str(error)
    match = _PLACE.search(message)
    line = int(match[1]) if match and match[1] else 0
    what = _PLACE.sub("", message).strip()
    twice = _TWICE.fullmatch(what)
    if twice is not None:
        table = ".".join(re.findall(r"'([^']*)'", twice[1]))
        return SettingsFault(line, "", f"The table [{table}] is there twice: {_ONE_TABLE}")
    if what == "Cannot overwrite a value":
        return SettingsFault(line, "", f"This table or setting is there twice: {_ONE_TABLE}")
    return SettingsFault(line, "", f"This is not valid TOML: {what[:1].lower()}{what[1:]}")


def faults_of(
    error: ValidationError, text: str, model: type[BaseModel]
) -> tuple[SettingsFault, ...]:
    """Return all faults that pydantic found in a settings file, sorted by line number.

    Args:
        error: The error that pydantic raised.
        text: The text of the file.
        model: The model of the whole file.
    """
    lines = lines_of(text)
    items = error.errors(include_url=False, include_input=False)
    inner = {item["loc"][:-1] for item in items}
    found = [
        SettingsFault(_line(lines, place.location), _dotted(place.location), _message(item, place))
        for item, place in ((item, _place(item["loc"], model)) for item in items)
        # If some items of a list are faulty, pydantic also reports that the list has too few items.
        # Only the faulty items are reported here.
        if not (item["type"] == "too_short" and item["loc"] in inner)
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda fault: fault.line))


def lines_of(text: str) -> dict[Location, int]:
    """Return the line number, from 1, of each header and of each key that begins a line of TOML.

    The dict key is the path to a table or key, such as `("trunks", 0, "name")`. The keys inside an
    inline table have no line of their own.
    """
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    statement = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not statement and (header := _HEADER.fullmatch(line)):
            table = _indexed(_names(header[2]), counts)
            if header[1] == "[[":
                index = counts.get(table, 0)
                counts[table] = index + 1
                lines.setdefault(table, number)
                table = (*table, index)
            lines.setdefault(table, number)
        elif not statement and (key := _KEY.match(line)):
            lines[*table, *_names(key[1])] = number
            statement = "" if _complete(line) else line
        elif statement:
            statement += "\n" + line
            statement = "" if _complete(statement) else statement
    return lines


def _indexed(table: Location, counts: dict[Location, int]) -> Location:
    """Return a table's path with the index of each `[[…]]` table that contains it.

    `[trunks.x]` belongs to the last `[[trunks]]` before it. `counts` has the number of `[[…]]`
    tables before this one, by their path.
    """
    path: Location = ()
    for name in table[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path] - 1)
    return (*path, table[-1])


def _names(dotted: str) -> Location:
    return tuple(part.strip('"') for part in dotted.split("."))


def _complete(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _line(lines: dict[Location, int], location: Location) -> int:
    for length in range(len(location), 0, -1):
        if location[:length] in lines:
            return lines[location[:length]]
    return 0


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Place(NamedTuple):
    """A place in the settings file, and what the models say of it."""

    location: Location
    """The names and indices that lead to the place in the file."""
    field: FieldInfo | None
    """The last setting in `location` that a model describes; None if there is none."""
    owner: type[BaseModel] | None
    """The model of the table that has the setting; None if no model describes it."""

    @property
    def name(self) -> str:
        """The name of the setting in quotes, such as `"sip.listen"`.

        For a table at the top of the file, return its header, such as `[sip]` or `[[trunks]]
        number 2`. For the whole file, return "".
        """
        if not self.location or self.field is None:
            return f'"{_dotted(self.location)}"' if self.location else ""
        last = self.location[-1]
        if _model_in(self.field.annotation):
            if isinstance(last, int) and len(self.location) == 2:
                return f"[[{self.location[0]}]] number {last + 1}"
            if len(self.location) == 1:
                return f"[{self.location[0]}]"
        return f'"{_dotted(self.location)}"'


def _place(location: Location, model: type[BaseModel]) -> _Place:
    """Return the place to which a location of pydantic points.

    If a table can have one of several models, pydantic adds to the location the value that chose
    the model, such as the `kind` of a directory. This value is not a name in the file, so it is
    left out.
    """
    plain: list[int | str] = []
    table: type[BaseModel] | None = model
    owner: type[BaseModel] | None = None
    field: FieldInfo | None = None
    choices: dict[str, type[BaseModel]] = {}
    for part in location:
        if part in choices:
            table, choices = choices[str(part)], {}
            continue
        plain.append(part)
        if isinstance(part, str):
            owner = table
            if table is None or part not in _fields(table):
                table = None
                continue
            field = _fields(table)[part]
            table = _model_in(field.annotation)
            choices = _choices(field.annotation)
    return _Place(tuple(plain), field, owner)


def _message(item: ErrorDetails, place: _Place) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown_setting(place)
    wanted = place.field.description if place.field else None
    name = place.name
    if item["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        return _unknown_choice(item, place)
    if item["type"] == "missing":
        what = "table" if name.startswith("[") else "setting"
        return f"Missing {what} {name}" + (f": add {wanted}" if wanted else "")
    if item["type"] != "value_error":
        return f"{name} must be {wanted}" if wanted else f"{name}: {item['msg']}"
    problem = str(item["ctx"]["error"])
    # An error text about several settings of one table begins with the quoted name of a setting.
    # The table's name and a colon are put before it: `[sip]: "session_expires" must be …`.
    return f"{name}: {problem}" if name and problem.startswith('"') else f"{name} {problem}".strip()


def _unknown_choice(item: ErrorDetails, place: _Place) -> str:
    setting = f'"{_dotted(place.location)}.{item["ctx"]["discriminator"].strip(chr(39))}"'
    choices = _choices(place.field.annotation) if place.field is not None else {}
    wanted = ", ".join(f'"{each}"' for each in choices)
    if item["type"] == "union_tag_not_found":
        return f"Missing setting {setting}: add one of {wanted}"
    return f"{setting} must be one of {wanted}"


def _unknown_setting(place: _Place) -> str:
    known = sorted(_fields(place.owner)) if place.owner else []
    close = difflib.get_close_matches(str(place.location[-1]), known, n=1)
    message = f'Unknown setting "{_dotted(place.location)}"'
    if close:
        return f'{message}; did you mean "{_dotted((*place.location[:-1], close[0]))}"?'
    return f"{message}; the settings that can be here are {', '.join(known)}"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _choices(annotation: Any) -> dict[str, type[BaseModel]]:
    """Return the models that an item of a list can have, each by the value that chooses it.

    Return {} if all items have the same model. `annotation` is the type of a setting, such as
    `tuple[Annotated[A | B, Field(discriminator=…)], ...]`.
    """
    for item in get_args(annotation):
        if get_origin(item) is not Annotated:
            continue
        union, *metadata = get_args(item)
        name = next((each.discriminator for each in metadata if isinstance(each, FieldInfo)), None)
        if isinstance(name, str):
            return {
                str(value): member
                for member in get_args(union)
                for value in get_args(member.model_fields[name].annotation)
            }
    return {}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model class in the type of a setting that is a table; None for other settings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {tuple, Union, UnionType, Annotated}:
        return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)
    return None
