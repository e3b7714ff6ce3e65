"""The endpoints and pages of a local Hub."""
