"""The people and machines that use Galwad: users, their sessions and tokens, and the sign-in."""
