"""Creates, describes, verifies, disposes of and backs up archived recordings."""
