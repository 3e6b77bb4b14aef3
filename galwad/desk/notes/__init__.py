"""The delivery of contact notes to another system, such as a CRM."""
