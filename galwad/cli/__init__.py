"""The command line: a package for each noun (the first word of a command), a module for each verb.

`main` finds the command and turns failures into exit statuses. `support` holds what commands of
several nouns use. A module is loaded only when its command is used: a switch started by
`galwad serve --only switch` never loads HTTP or audio code.
"""
