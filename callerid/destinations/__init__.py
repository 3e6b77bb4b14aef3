"""The systems to which contact notes are delivered: one module for each kind."""
