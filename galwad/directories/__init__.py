"""The directories that the desk opens, and the commands that fill and test them."""
