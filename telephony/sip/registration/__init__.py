"""Registration (RFC 3261 10): our registrar, and our registration with an external one."""
