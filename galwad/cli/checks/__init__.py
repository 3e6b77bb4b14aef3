"""The checks of `galwad check`.

Each subject has a module. The module's function `check` yields the results.
"""
