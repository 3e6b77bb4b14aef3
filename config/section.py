"""The base class of the tables of a settings file, and the table `tls` that several tables contain.

The `description` of a field is written so that an error message can put "must be" or "add" before
it.
"""

from __future__ import annotations

from ssl import SSLContext
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.fields import FilePath
from net.errors import ServerError
from net.tls import client_context


class Section(BaseModel):
    """The base class of all sections: a table of a settings file.

    A section cannot be changed after loading. It refuses unknown settings. Its errors never repeat
    a value, because settings contain secrets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsSection(Section):
    """A table `tls`: the authorities that we trust (default: the system's), and our certificate."""

    ca: FilePath | None = Field(
        default=None, description="an absolute path of the authority's certificates (PEM)"
    )
    certificate: FilePath | None = Field(
        default=None, description="an absolute path of Galwad's certificate (PEM)"
    )
    key: FilePath | None = Field(
        default=None, description="an absolute path of the certificate's private key (PEM)"
    )

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError('needs both "certificate" and "key", or neither')
        return self

    def context(self) -> SSLContext:
        """Return a context that verifies a server's certificate and name. Raises `ServerError`."""
        try:
            return client_context(
                ca=self.ca, certificate=self.certificate, key=self.key, ciphers=None
            )
        except OSError as error:
            reason = error.strerror or "not PEM"
            raise ServerError(f"cannot use the TLS files: {reason}") from None
