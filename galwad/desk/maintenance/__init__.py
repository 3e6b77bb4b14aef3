"""Work that commands on the server do directly on its files, even if the desk is not running."""
