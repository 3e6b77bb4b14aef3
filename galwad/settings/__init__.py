"""The settings of the service: the model of the whole file `galwad.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

import config
from callerid.directories import ExternalDirectory
from config.loader import load_model
from config.section import Section
from config.values import HostPort
from galwad.settings.desk import (
    CallLogSection,
    ContactNotesSection,
    DeskSection,
    DirectorySection,
    EventStreamSection,
    PresenceSection,
    SignInSection,
    WebhookSection,
)
from galwad.settings.node import NodeSection, RecordingSection
from galwad.settings.retention import RetentionRule, check_rules
from galwad.settings.switch import (
    Destination,
    MediaSection,
    Phone,
    Route,
    SipSection,
    SrtpRule,
    Trunk,
)
from net.addresses import host_of_family

EXAMPLE = Path(config.__file__).with_name("example.toml")
"""The example that explains every setting; it is installed with the program."""


class Settings(Section):
    """All settings in `galwad.toml`."""

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
    retention: tuple[RetentionRule, ...] = Field(
        description='at least one table [[retention]] with "category", "keep" and "counted_from"'
    )
    desk: DeskSection = Field(default=DeskSection(), description="the table [desk]")
    presence: PresenceSection = Field(default=PresenceSection(), description="the table [presence]")
    directory: DirectorySection = Field(
        default=DirectorySection(), description="the table [directory]"
    )
    call_log: CallLogSection = Field(default=CallLogSection(), description="the table [call_log]")
    contact_notes: ContactNotesSection = Field(
        default=ContactNotesSection(), description="the table [contact_notes]"
    )
    directories: tuple[ExternalDirectory, ...] = Field(
        default=(), description="tables [[directories]]"
    )
    webhook: WebhookSection | None = Field(default=None, description="the table [webhook]")
    event_stream: EventStreamSection | None = Field(
        default=None, description="the table [event_stream]"
    )
    sign_in: SignInSection | None = Field(default=None, description="the table [sign_in]")

    @model_validator(mode="after")
    def _check_unique_names(self) -> Self:
        for what, names in (
            ('Two [[phones]] have the same "extension"', [p.extension for p in self.phones]),
            ('Two [[trunks]] have the same "name"', [t.name for t in self.trunks]),
            ('Two [[directories]] have the same "name"', [d.name for d in self.directories]),
            ('Two [[routes]] have the same "called"', [r.called.text for r in self.routes]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what}; give each its own")
        if sum(each.takes_notes for each in self.directories) > 1:
            raise ValueError(
                "Two [[directories]] have a table [directories.contact_notes]; keep only one"
            )
        return self

    @model_validator(mode="after")
    def _check_retention(self) -> Self:
        check_rules(self.retention)
        return self

    @model_validator(mode="after")
    def _check_welsh_destination(self) -> Self:
        name = self.desk.welsh_destination
        if name is None:
            return self
        found = self.find_destination(f"sip:{name}@galwad.invalid", name)
        if found is None or found.match.text != name or found.class_ != "centre":
            raise ValueError(
                '[desk] "welsh_destination" must be the "match" of one of the [[destinations]] '
                'whose class is "centre"'
            )
        return self

    @property
    def spool_folder(self) -> Path:
        """The folder for the spools of calls in progress."""
        return self.node.state / "spool"

    @property
    def spare_folder(self) -> Path:
        """The folder for new spools after the disk of `spool_folder` has failed.

        The spare folder is used only if it is on another disk than `spool_folder`.
        """
        return self.node.state / "spare"

    @property
    def spool_folders(self) -> tuple[Path, Path]:
        """Both folders that may contain spools: `spool_folder` and `spare_folder`."""
        return self.spool_folder, self.spare_folder

    @property
    def boot_keys(self) -> tuple[Path, ...]:
        """The files of the keys with which this machine can open spools without an officer.

        New spools use the first key: `boot.key`, which is in memory and lost at a reboot. With
        `unattended_recovery`, `host.key` on the disk is the first. The second key opens spools that
        were begun before a change of this setting, or while `host.key` could not be read. The third
        key opens spools that were begun while the spare folder was mounted in the place of the
        spool folder.
        """
        memory, disk = self.node.runtime / "boot.key", self.spool_folder / "host.key"
        ours = (disk, memory) if self.recording.unattended_recovery else (memory, disk)
        return *ours, self.spare_folder / "host.key"

    @property
    def archive(self) -> Path:
        """The folder of the archived recordings."""
        return self.node.state / "archive"

    @property
    def database(self) -> Path:
        """The path of the desk's SQLite database."""
        return self.node.state / "desk" / "galwad.db"

    @property
    def directory_file(self) -> Path:
        """The path of the SQLite file with the people whom Galwad can identify when they call."""
        return self.database.with_name("directory.db")

    @property
    def audit_key(self) -> Path:
        """The file with the private key that signs audit entries. Each day has a new key."""
        return self.database.with_name("audit.key")

    @property
    def device_key(self) -> Path:
        """The file with the key of the tokens that known browsers have."""
        return self.database.with_name("devices.key")

    @property
    def second_factor_key(self) -> Path:
        """The file with the key that encrypts the secrets of second factors. No backup has it."""
        return self.database.with_name("second-factor.key")

    @property
    def anchor_file(self) -> Path:
        """The file to which the head of the audit chain is appended after each nightly check."""
        return self.desk.anchors or self.database.with_name("anchors.jsonl")

    def newest_recipients(self, *folders: str) -> tuple[Path, ...]:
        """Return the paths of the copies of the newest set of recipients that was in force here.

        All processes share the first copy. `folders` are the names of further folders in the state
        folder that have a copy, such as "switch".
        """
        return tuple(
            self.node.state / each / "newest-recipients.json" for each in ("keys", *folders)
        )

    @property
    def recipients(self) -> Path:
        """The path of the signed file that lists the recipients, who can open recordings."""
        return self.recording.recipients or self.node.state / "keys" / "recipients.json"

    @property
    def switch_socket(self) -> Path:
        """The path of the Unix socket on which the switch accepts desk, finaliser and commands."""
        return self.node.runtime / "switch.sock"

    @property
    def desk_socket(self) -> Path:
        """The path of the Unix socket on which the desk accepts the finaliser and commands."""
        return self.node.runtime / "desk.sock"

    @property
    def phone_server(self) -> str:
        """The host and port with which phones register, such as "192.0.2.10:5060"."""
        listener = self.sip.listen[0]
        host = host_of_family(self.sip.advertise, listener.host) or listener.host
        return str(HostPort(host, listener.port))

    @property
    def target_uris(self) -> tuple[str, ...]:
        """The SIP URIs in `target` of all routes and destinations, each URI once."""
        places: tuple[Route | Destination, ...] = (*self.routes, *self.destinations)
        return tuple(dict.fromkeys(uri for place in places for uri in place.target or ()))

    def find_trunk(self, host: str, port: int, transport: str = "udp") -> Trunk | None:
        """Return the first trunk that sends from this address over this transport, or None."""
        found = (trunk for trunk in self.trunks if trunk.matches(host, port, transport))
        return next(found, None)

    def allows_transport(self, extension: str, transport: str) -> bool:
        """Return whether a phone may use this transport; True if [[phones]] does not limit it."""
        wanted = next((p.transport for p in self.phones if p.extension == extension), None)
        return wanted in {None, transport.lower()}

    def find_route(self, *called: str) -> Route | None:
        """Return the first route whose pattern fits one of the forms of a called number, or None.

        The forms, such as the national and the international one, have no SIP escapes (`%2B`) and
        no parameters.
        """
        fits = (route for route in self.routes if any(map(route.called.matches, called)))
        return next(fits, None)

    def find_destination(self, uri: str, *users: str) -> Destination | None:
        """Return the first destination that fits a party, such as a transfer's target, or None.

        `uri` is the party's URI without parameters. `users` has all forms of the user part of this
        URI, such as the national and the international form of a number.
        """
        fits = (d for d in self.destinations if any(d.matches(user, uri) for user in users))
        return next(fits, None)

    def srtp_rule_of(self, extension: str, otherwise: SrtpRule | None = None) -> SrtpRule:
        """Return the SRTP rule of an extension's phone, else `otherwise`, else that of [media]."""
        own = next((phone.srtp for phone in self.phones if phone.extension == extension), None)
        return own or otherwise or self.media.srtp


def load(path: Path) -> Settings:
    """Read a settings file. Raises `SettingsError`, as `load_model` does."""
    return load_model(path, Settings)
