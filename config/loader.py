"""The loader of a settings file.

It reads TOML and returns a model. All faults that pydantic finds are reported in one
`SettingsError`. If the file is not valid TOML, the error has only the first fault.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from config.errors import SettingsError, SettingsFault
from config.explain import faults_of, syntax_fault

ModelT = TypeVar("ModelT", bound=BaseModel)
_LARGEST = 1 << 20
"""The most characters of a settings file. A file with a thousand phones has a tenth of this."""


def load_model(path: Path, model: type[ModelT]) -> ModelT:
    """Read a settings file into `model`, the model of the whole file.

    Raises `SettingsError` if the file cannot be read, is not TOML, or does not fit the model.
    """
    try:
        # Some editors write a byte order mark at the start of the file; utf-8-sig ignores it.
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _error(path, f"Cannot read the file: {reason.lower()}") from None
    except UnicodeDecodeError:
        raise _error(path, "The file must be text in UTF-8") from None
    if len(text) > _LARGEST:
        raise _error(path, "The file is too large: settings have at most 1,048,576 characters")
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, (syntax_fault(error),)) from None
    except ValidationError as error:
        raise SettingsError(path, faults_of(error, text, model)) from None


def _error(path: Path, message: str) -> SettingsError:
    return SettingsError(path, (SettingsFault(0, "", message),))
