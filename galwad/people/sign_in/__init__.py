"""Signing in: passwords, sign-ins that a person approves on the page, and limits for failures."""
