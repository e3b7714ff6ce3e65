"""What a local Hub knows, remembers and has issued. Nothing here answers a request."""
