"""The texts and the printable page of `galwad promise-check`."""
