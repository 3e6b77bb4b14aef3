"""Users, their sessions, the throttling of sign-ins, and the checks made on every request."""
