"""The app as a resource server (RFC 6749 §1.1): access tokens that others present to it."""
