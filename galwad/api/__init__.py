"""The OpenAPI description of the HTTP API, which is derived from the endpoints themselves.

A new endpoint needs a docstring, whose section `Raises` has each error status that it may answer,
except those of its dependencies. Its module must be in `ENDPOINT_MODULES` and in a tag of `TAGS`.
"""
