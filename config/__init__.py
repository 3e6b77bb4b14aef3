"""The loader of a settings file, the types of its fields, and a commented example file.

This package imports no other package of Galwad.
"""
