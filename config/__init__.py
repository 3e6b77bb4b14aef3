"""The loader of a settings file, the types of its fields, and a commented example file.

Of Galwad's packages, it imports only `net`.
"""
