"""The telephony daemon, which combines all other packages."""
