"""The telephony daemon: the only package that connects the other packages to each other."""
