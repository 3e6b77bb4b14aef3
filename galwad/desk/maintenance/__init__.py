"""The work of commands on the server itself, with or without a running desk."""
