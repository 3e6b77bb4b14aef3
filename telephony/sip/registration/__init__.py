"""Registration (RFC 3261 section 10): our registrar, and our registration at other registrars."""
