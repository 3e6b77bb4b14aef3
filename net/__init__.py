"""Addresses, TLS, HTTP and limits: tools for any program on a network.

This package knows no telephony, directories or settings. The modules for HTTP import httpx2 only
when a client is made.
"""
