"""The user agent (RFC 3261 sections 8 and 13): the handles of requests, and received messages.

A handle is the object with which the application controls one request or dialog.
"""
