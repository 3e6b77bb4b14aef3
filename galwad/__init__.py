"""The telephony daemon: the only package in which the others are wired together."""
