"""`galwad keys show`: print the public halves of an officer's keys."""

from __future__ import annotations

from galwad.cli.keys.key_files import Folder, key_errors, key_file, load_officer, print_public
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json

app = new_command()


@app.command(epilog="Example: galwad keys show ~/galwad-keys")
def show(folder: Folder, *, json: Json = False) -> None:
    """Print the public halves of your keys: your recipient and your public signing key.

    The public signing key is printed in the form that the server's galwad.toml needs: as the
    setting `officer_key` in the table [recording].
    """
    with key_errors():
        found = load_officer(folder)
    print_public(found, key_file(folder), as_json=json)
