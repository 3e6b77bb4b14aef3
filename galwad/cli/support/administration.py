"""Helpers for commands that use the server's own database, and notify the desk of changed users.

Modules that need SQLAlchemy are loaded when a command runs, so that help texts do not wait for
them.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from callerid.errors import CallerIdError
from galwad.cli.support.console import CliError
from recording.errors import AuditError, RecordingError, reason_of

if TYPE_CHECKING:
    from galwad.administration import Administration
    from galwad.settings import Settings


def administration(settings: Settings) -> Administration:
    """Return the `Administration` of the server's database.

    If root calls this, a missing state folder is created first.
    """
    from galwad.administration import Administration  # noqa: PLC0415 - see above

    _create_state_folder(settings.node.state)
    return Administration(settings.database, settings.node.name, settings.sip.realm)


def notify_desk(settings: Settings) -> bool:
    """Let the desk read the users again. Return False if no desk is running."""
    from galwad.administration import poke  # noqa: PLC0415 - see above

    return asyncio.run(poke(settings.desk_socket))


def _create_state_folder(state: Path) -> None:
    """As root, create a missing state folder. Like systemd, give it mode 0755 under any umask."""
    if os.geteuid() == 0 and not state.exists():
        state.mkdir(parents=True)
        state.chmod(0o755)


@contextmanager
def on_the_server(settings: Settings) -> Iterator[None]:
    """Turn an error about the database or its data into a `CliError`."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - see above

    from galwad.host.database import SchemaError  # noqa: PLC0415 - see above
    from galwad.people.user import UserError  # noqa: PLC0415 - see above

    try:
        yield
    except UserError as error:
        hint = error.hint or "`galwad users list` shows the users"
        raise CliError(str(error), hint) from None
    except CallerIdError as error:
        raise CliError(str(error), "nothing was changed") from None
    except AuditError as error:
        hint = "the change may have been made: check if it was. `galwad check` shows the fault"
        raise CliError(str(error), hint) from None
    except RecordingError as error:
        raise CliError(str(error), "nothing was changed") from None
    except SchemaError as error:
        raise CliError(str(error), error.hint) from None
    except PermissionError:
        raise CliError(
            f"you may not use {settings.database}",
            "run this on the server, as the service's user or as root",
        ) from None
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise CliError(
            f"cannot use the database {settings.database}: {reason_of(error)}",
            "`galwad check` shows the fault",
        ) from None
