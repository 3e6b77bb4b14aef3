"""The settings: their schema, their loader and a commented example.

This package depends on none of the other packages.
"""
