"""The command line: `galwad` itself, and the commands `serve`, `check` and `status`.

The other commands are in the packages of their subjects. For example, `galwad audit list` is in
`galwad.archive.commands.audit`. `groups` names the module of each command. `main` finds the command
and turns failures into exit statuses. `support` has code that several commands use. A module is
loaded only when one of its commands is used. For example, `galwad serve --only switch` loads no
HTTP server and no audio decoders.
"""
