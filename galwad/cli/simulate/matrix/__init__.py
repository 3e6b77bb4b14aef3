"""The rows of `galwad simulate payments` and `transfers`: each tries one pause or transfer."""
