"""The settings of the installation as a whole, and of recording."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from config.fields import DtmfCode, FilePath, Flag, Number, PublicKey
from config.section import Section


class NodeSection(Section):
    """`[node]`: the name of this installation, and its folders."""

    name: str = Field(
        default="galwad",
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description='1 to 32 lower-case letters, digits and hyphens, such as "galwad-1"',
    )
    state: FilePath = Field(
        default=Path("/var/lib/galwad"),
        description="the full path of the folder for data that must survive a restart",
    )
    runtime: FilePath = Field(
        default=Path("/run/galwad"),
        description="the full path of a folder in memory (tmpfs), which is empty after a reboot",
    )


class RecordingSection(Section):
    """`[recording]`: the keys, pauses, the effect of transfers, and recovery after a reboot."""

    recipients: FilePath | None = Field(
        default=None, description="the full path of the signed file that `galwad keys sign` wrote"
    )
    officer_key: PublicKey = Field(
        description="the officer's public key that `galwad keys show` prints"
    )
    lookback: Number = Field(default=5, ge=0, le=60, description="a number of seconds from 0 to 60")
    erase_back: Number = Field(
        default=0.5, ge=0, le=60, description='a number of seconds, not more than "lookback"'
    )
    """The seconds before a payment pause that are erased too, but at most the `lookback`."""
    quarantine: Number = Field(
        default=3, ge=0, le=10, description="a number of seconds from 0 to 10"
    )
    payment_code_on: DtmfCode | None = Field(
        default=None, description='two to eight of 0-9 * #, such as "*71"'
    )
    payment_code_off: DtmfCode | None = Field(
        default=None, description='two to eight of 0-9 * #, such as "*72"'
    )
    digits_near_pause: Number = Field(
        default=10, ge=0, le=10, description="a number of seconds from 0 to 10"
    )
    unattended_recovery: Flag = Field(default=False, description="true or false")
    include_phones: Flag = Field(default=False, description="true or false")
    point_of_transfer: Literal["answer", "request"] = Field(
        default="answer", description='"answer" or "request"'
    )

    @model_validator(mode="after")
    def _check_pauses(self) -> Self:
        if "erase_back" in self.model_fields_set and self.erase_back > self.lookback:
            raise ValueError('"erase_back" must not be longer than "lookback"')
        on, off = self.payment_code_on, self.payment_code_off
        if (on is None) != (off is None):
            raise ValueError('needs both "payment_code_on" and "payment_code_off", or neither')
        if on and off and (on.startswith(off) or off.startswith(on)):
            raise ValueError(
                '"payment_code_on" and "payment_code_off" must differ, and neither may begin with '
                "the other"
            )
        return self
