"""The command line: a package for each noun, such as `audit`, and a module for each verb.

For example, `galwad audit list` is in the module `list` of the package `audit`. `main` finds the
command and turns failures into exit statuses. `support` has the helpers that commands of several
nouns use. A module is loaded only when its command is used. For example, `galwad serve --only
switch` never loads HTTP or audio code.
"""
