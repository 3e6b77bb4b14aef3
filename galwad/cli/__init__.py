"""The command line: a module for each noun, such as `audit`.

For example, `galwad audit list` is in the module `audit`. A noun with much code has more modules,
such as `audit_chain`. `groups` has what the help of each noun shows. `main` finds the command and
turns failures into exit statuses. `support` has what commands of several nouns use. A module is
loaded only when a command of it is used. For example, `galwad serve --only switch` never loads HTTP
or audio code.
"""
