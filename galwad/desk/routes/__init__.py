"""The HTTP API's endpoints, one file for each subject. `galwad.desk.models` has a list of them."""
