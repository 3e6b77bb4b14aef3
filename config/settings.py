"""The settings of the service: the whole file as one value, and its loader.

`load` reads TOML and returns frozen models. Faults of the file become one `SettingsError` that
names file, line and setting, and says what is wrong and what to write.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from config.errors import SettingsError, SettingsFault
from config.explain import faults_of, syntax_fault
from config.sections import (
    DeskSection,
    Destination,
    DirectorySection,
    MediaSection,
    NodeSection,
    Phone,
    RecordingSection,
    Route,
    Section,
    SipSection,
    SourceRule,
    SrtpRule,
    Trunk,
)

__all__ = ["DEFAULT_PATH", "Settings", "SourceRule", "load"]

DEFAULT_PATH = Path("/etc/galwad/galwad.toml")
_LARGEST = 1 << 20
"""The most characters of a settings file; a thousand phones need a tenth of it."""


class Settings(Section):
    """All of `galwad.toml`."""

    node: NodeSection = Field(default=NodeSection(), description="the table [node]")
    sip: SipSection = Field(description='the table [sip] with at least "listen"')
    trunks: tuple[Trunk, ...] = Field(default=(), description="tables [[trunks]]")
    phones: tuple[Phone, ...] = Field(default=(), description="tables [[phones]]")
    routes: tuple[Route, ...] = Field(default=(), description="tables [[routes]]")
    destinations: tuple[Destination, ...] = Field(default=(), description="tables [[destinations]]")
    media: MediaSection = Field(default=MediaSection(), description="the table [media]")
    recording: RecordingSection = Field(
        description='the table [recording] with at least "officer_key"'
    )
    desk: DeskSection = Field(default=DeskSection(), description="the table [desk]")
    directory: DirectorySection = Field(
        default=DirectorySection(), description="the table [directory]"
    )

    @model_validator(mode="after")
    def _check_unique_names(self) -> Self:
        for what, names in (
            ('Two [[phones]] have the same "extension"', [p.extension for p in self.phones]),
            ('Two [[trunks]] have the same "name"', [t.name for t in self.trunks]),
            ('Two [[routes]] have the same "called"', [r.called.text for r in self.routes]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what}; give each its own")
        return self

    @property
    def spool_folder(self) -> Path:
        """The folder of the spools of calls in progress."""
        return self.node.state / "spool"

    @property
    def spare_folder(self) -> Path:
        """The folder for a call's next spool when its disk fails; useful only on another disk."""
        return self.node.state / "spare"

    @property
    def spool_folders(self) -> tuple[Path, Path]:
        """All folders that may contain spools."""
        return self.spool_folder, self.spare_folder

    @property
    def boot_keys(self) -> tuple[Path, ...]:
        """The key files that open spools without an officer; new spools are sealed to the first.

        `boot.key` is lost at a reboot; `host.key` is on the disk. The second file opens spools
        begun under the other value of `unattended_recovery`, or while the disk's key could not be
        read. The last file opens spools begun while the spare folder was mounted in the place of
        the first.
        """
        memory, disk = self.node.runtime / "boot.key", self.spool_folder / "host.key"
        ours = (disk, memory) if self.recording.unattended_recovery else (memory, disk)
        return *ours, self.spare_folder / "host.key"

    @property
    def archive(self) -> Path:
        """The folder of sealed recordings."""
        return self.node.state / "archive"

    @property
    def database(self) -> Path:
        """The desk's SQLite file."""
        return self.node.state / "desk" / "galwad.db"

    @property
    def recipients(self) -> Path:
        """The signed set of those who can open recordings."""
        return self.recording.recipients or self.node.state / "keys" / "recipients.json"

    @property
    def switch_socket(self) -> Path:
        """The Unix socket on which the switch accepts links from desk and finaliser."""
        return self.node.runtime / "switch.sock"

    @property
    def desk_socket(self) -> Path:
        """The Unix socket on which the desk accepts links from the finaliser."""
        return self.node.runtime / "desk.sock"

    def find_trunk(self, host: str, port: int, transport: str = "udp") -> Trunk | None:
        """Return the first trunk that sends from this address over this transport, or None."""
        found = (trunk for trunk in self.trunks if trunk.matches(host, port, transport))
        return next(found, None)

    def allows_transport(self, extension: str, transport: str) -> bool:
        """Return whether a phone may use this transport."""
        wanted = next((p.transport for p in self.phones if p.extension == extension), None)
        return wanted in {None, transport.lower()}

    def find_route(self, *called: str) -> Route | None:
        """Return the first route for a called number in any of these forms, or None.

        Each form is plain text, without escapes and parameters.
        """
        fits = (route for route in self.routes if any(map(route.called.matches, called)))
        return next(fits, None)

    def find_destination(self, uri: str, *users: str) -> Destination | None:
        """Return the first destination that a Refer-To means, or None.

        `uri` is the Refer-To without parameters; `users` are the possible forms of its user part.
        """
        fits = (d for d in self.destinations if any(d.matches(user, uri) for user in users))
        return next(fits, None)

    def srtp_rule_of(self, extension: str, otherwise: SrtpRule | None = None) -> SrtpRule:
        """Return a phone's SRTP rule: its own, else `otherwise`, else the one in [media]."""
        own = next((phone.srtp for phone in self.phones if phone.extension == extension), None)
        return own or otherwise or self.media.srtp


def load(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        SettingsError: The file cannot be read, is not TOML, or has a setting that is not valid.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors put a byte order mark first
            text = file.read(_LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(
            path, (SettingsFault(0, "", f"Cannot read the file: {reason.lower()}"),)
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(
            path, (SettingsFault(0, "", "The file must be text in UTF-8"),)
        ) from None
    if len(text) > _LARGEST:
        raise SettingsError(
            path,
            (
                SettingsFault(
                    0, "", "The file is too large: settings have at most 1,048,576 characters"
                ),
            ),
        )
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, (syntax_fault(error),)) from None
    except ValidationError as error:
        raise SettingsError(path, faults_of(error, text, Settings)) from None
