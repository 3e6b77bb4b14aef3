"""Changes that commands make directly to the server's files, whether or not the desk is running."""
