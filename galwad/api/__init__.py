"""The OpenAPI description of the HTTP API, which is derived from the endpoints themselves.

A new endpoint needs its module in a tag of `tags.py`, a docstring, and in the docstring's section
`Raises` each status that the endpoint may answer.
"""
