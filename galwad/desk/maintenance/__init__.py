"""Work that commands do directly on the server's files, whether or not the desk is running."""
