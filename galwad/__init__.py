"""The telephony daemon. Only this package connects the other packages with each other."""
