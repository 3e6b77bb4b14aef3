"""The command line. Each noun (the first word of a command) is a package, and each verb a module.

`main` finds the command and turns failures into exit statuses. `support` has the helpers that
commands of several nouns use. A module is loaded only when its command is used. For example,
`galwad serve --only switch` never loads HTTP or audio code.
"""
