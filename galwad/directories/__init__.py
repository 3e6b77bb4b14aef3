"""The directories that the desk opens, their endpoint, and the commands that fill and test them."""
