"""Signing in with the account of an OpenID provider: its documents, its tokens, and the flow.

The flow is the authorization code flow with PKCE (OpenID Connect Core 1.0, section 3.1, RFC 7636),
as RFC 9700 recommends it. The users and their sessions are in `galwad.people`.
"""
