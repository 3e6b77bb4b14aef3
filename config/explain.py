"""Messages about the faults of a settings file.

Each message says in which line the faulty setting is, what is wrong with the setting, and what to
write instead.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

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
        SettingsFault(_line(lines, item["loc"]), _dotted(item["loc"]), _message(dict(item), model))
        for item in items
        # If some items of a list are faulty, pydantic also reports that the list has too few items.
        # Only the faulty items are reported here.
        if not (item["type"] == "too_short" and item["loc"] in inner)
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda fault: fault.line))


def lines_of(text: str) -> dict[Location, int]:
    """Return the line number, from 1, of each table and each key in a TOML text.

    The dict key is the path to a table or key, such as `("trunks", 0, "name")`.
    """
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    statement = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not statement and (header := _HEADER.fullmatch(line)):
            table = _names(header[2])
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


def _message(item: dict[str, Any], model: type[BaseModel]) -> str:
    """Return a sentence that names the setting and says what is wrong with it.

    `item` is one fault as pydantic describes it.
    """
    location: Location = item["loc"]
    if item["type"] == "extra_forbidden":
        return _unknown_setting(location, model)
    field = _field(location, model)
    wanted = field.description if field else None
    name = _name(location, model)
    if item["type"] == "missing":
        what = "table" if name.startswith("[") else "setting"
        return f"Missing {what} {name}" + (f": add {wanted}" if wanted else "")
    if item["type"] != "value_error":
        return f"{name} must be {wanted}" if wanted else f"{name}: {item['msg']}"
    problem = str(item["ctx"]["error"])
    # An error text about several settings of one table begins with the quoted name of a setting.
    # The table's name and a colon are put before it: `[sip]: "session_expires" must be …`.
    return f"{name}: {problem}" if name and problem.startswith('"') else f"{name} {problem}".strip()


def _name(location: Location, model: type[BaseModel]) -> str:
    """Return the name of a setting in quotes, such as `"sip.listen"`.

    If `location` is a table, return the header of the table, such as `[sip]` or `[[trunks]] number
    2`. If it is the whole file, return "".
    """
    if not location or (field := _field(location, model)) is None:
        return f'"{_dotted(location)}"' if location else ""
    last = location[-1]
    if isinstance(last, int) and len(location) == 2 and _model_in(field.annotation):
        return f"[[{location[0]}]] number {last + 1}"
    if len(location) == 1 and _model_in(field.annotation):
        return f"[{location[0]}]"
    return f'"{_dotted(location)}"'


def _unknown_setting(location: Location, model: type[BaseModel]) -> str:
    owner = _model(location[:-1], model)
    known = sorted(_fields(owner)) if owner else []
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    message = f'Unknown setting "{_dotted(location)}"'
    if close:
        return f'{message}; did you mean "{_dotted((*location[:-1], close[0]))}"?'
    return f"{message}; the settings that can be here are {', '.join(known)}"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _field(location: Location, model: type[BaseModel]) -> FieldInfo | None:
    names = [part for part in location if isinstance(part, str)]
    if not names:
        return None
    current: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for name in names:
        if current is None or name not in _fields(current):
            break
        field = _fields(current)[name]
        current = _model_in(field.annotation)
    return field


def _model(location: Location, model: type[BaseModel]) -> type[BaseModel] | None:
    if not any(isinstance(part, str) for part in location):
        return model
    field = _field(location, model)
    return _model_in(field.annotation) if field else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model class in a type, or None if the type contains no model class.

    `annotation` is the type of a setting. It may be a model class, a union that has a model class
    as a member, or a tuple whose items are of a model class. A setting whose type contains a model
    class is a table of the settings file.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {tuple, Union, UnionType}:
        return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)
    return None
