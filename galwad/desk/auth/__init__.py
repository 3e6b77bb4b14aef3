"""Users, their sessions, the throttling of sign-ins, and the guard of every request."""
