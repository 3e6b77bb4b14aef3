"""The settings of the commands that use the HTTP API: the server, the token and the authority.

The server's address comes from `--server`, `$GALWAD_SERVER` or the file `client.toml`. The token
comes from `$GALWAD_TOKEN` or the same file, and the certificate of the server's authority from
`$GALWAD_CERTIFICATE` or the same file. The first source in this order that has a value is used.
`galwad login --tls-ca` replaces the certificate for this command. The file is in the user's
configuration folder, and `galwad login` writes it.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.explain import faults_of, syntax_fault
from galwad.cli.support.console import CliError

_MEND = "correct this file, or remove it and run `galwad login`"


def client_file() -> Path:
    """Return the path of the file in which `galwad login` stores address, token and certificate.

    The path is `$XDG_CONFIG_HOME/galwad/client.toml`. If this variable is not set, the path is
    `~/.config/galwad/client.toml`.
    """
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "galwad" / "client.toml"


class ClientSettings(BaseSettings):
    """The settings of an API client, from environment variables and the file `client.toml`.

    An environment variable, such as `$GALWAD_SERVER`, wins over the file.
    """

    model_config = SettingsConfigDict(
        env_prefix="GALWAD_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    server: str = Field(default="", description='an address such as "https://galwad.example"')
    token: SecretStr | None = Field(default=None, description="what `galwad login` received")
    certificate: Path | None = Field(
        default=None, description="a PEM file with the authority that signed the server's key"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of the settings. The first source that has a value is used."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=client_file())
        return init_settings, env_settings, file


def client_settings() -> ClientSettings:
    """Read the client's settings from the environment and `client.toml`.

    Raises `CliError` if the file cannot be read, or if a value is wrong. If the wrong value is in
    the file, the message gives its line number.
    """
    file = client_file()
    try:
        return ClientSettings()
    except (OSError, UnicodeDecodeError):
        raise CliError(f"cannot read {file} as UTF-8 text", _MEND) from None
    except tomllib.TOMLDecodeError as error:
        fault = syntax_fault(error)
    except ValidationError as error:
        fault = faults_of(error, _text(file), ClientSettings)[0]
    where = f"{file}:{fault.line}" if fault.line else str(file)
    raise CliError(f"{where}: {fault.message}", _MEND)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""
