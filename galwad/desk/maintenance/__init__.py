"""Changes that commands make directly to the server's files, even if the desk is not running."""
