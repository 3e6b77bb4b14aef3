"""`galwad recordings recover`: the key of a spool of another boot, taken with an identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galwad.cli import sealed
from galwad.cli.console import CliError
from galwad.cli.whole import whole_file
from recording.errors import SpoolError
from recording.recovery import recover_key


@dataclass(frozen=True, slots=True)
class Recovered:
    """One key that was written."""

    call_id: str
    life: int
    path: Path

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {"call_id": self.call_id, "life": self.life, "output": str(self.path)}

    def sentence(self) -> str:
        """For people."""
        return f"{self.path}  opens spool {self.life} of {self.call_id}"


def recover(spools: list[Path], identity: Path, output: Path, *, replace: bool) -> list[Recovered]:
    """Write the key of each spool into the folder `output`: all of them, or none."""
    identities = sealed.read_identity(identity)
    try:
        keys = [recover_key(spool, identities) for spool in spools]
    except SpoolError as error:
        raise CliError(
            str(error), "`galwad keys show` prints your fingerprint; the spool may be another's"
        ) from None
    done = []
    for key in keys:
        path = output / key.name
        with whole_file(path, replace=replace) as file:
            file.write(bytes(key))
        done.append(Recovered(key.call_id, key.life, path))
    return done
