"""The limits for failed sign-ins, approvals, and the checks of every request."""
