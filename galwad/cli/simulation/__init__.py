"""What `galwad simulate` does: ring a daemon with phones of its own, and judge what comes of it."""
