"""The loader of a settings file, the base class and field types of its tables, and an example file.

Of Galwad's other packages, this one imports only `net`.
"""
