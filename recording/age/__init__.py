"""The format age v1 (https://c2sp.org/age): headers, payloads, armor, passphrases and key files."""
