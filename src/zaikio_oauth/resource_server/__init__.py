"""The tokens that others show us, as a resource server (RFC 6749 §1.1)."""
