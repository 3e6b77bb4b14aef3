"""The HTTP API's endpoints, one file a noun; `galwad.desk.models` tabulates them."""
