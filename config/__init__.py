"""The settings of the service: their schema, their loader and a commented example file.

This package imports no other package of Galwad.
"""
