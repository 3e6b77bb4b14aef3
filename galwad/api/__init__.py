"""The desk's application (`app`), and the OpenAPI description that is made from its endpoints.

The endpoints are in the packages of their subjects. Only those of `system` are here.

A new endpoint needs a docstring, whose section `Raises` has each error status that it may answer,
except those of its dependencies and those that `document` adds. Its module must be in
`ENDPOINT_MODULES` and in a tag of `TAGS`.
"""
