"""Users, their sessions, the limits for failed sign-ins, and the checks of every request."""
