"""Addresses, TLS, HTTP and limits: tools for any program on a network.

It knows no telephony, directories or settings. The modules for HTTP import its library only when a
client is made.
"""
