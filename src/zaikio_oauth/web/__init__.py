"""The browser: the only place that knows FastAPI. It asks the token manager, never Hub or store."""
