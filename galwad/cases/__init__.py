"""The register of requests by people about their data, and of complaints, with their deadlines."""
