"""The command line: `galwad` itself, and the commands `serve`, `check` and `status`.

The other commands are in the packages of their subjects: `groups` names the module of each, and has
what the help of each noun shows. For example, `galwad audit list` is in
`galwad.archive.commands.audit`. `main` finds the command and turns failures into exit statuses.
`support` has what several of these modules use. A module is loaded only when a command of it is
used. For example, `galwad serve --only switch` loads no HTTP server and no audio decoders.
"""
