"""The archive as the desk sees it: read and indexed here, but written only by the finaliser."""
