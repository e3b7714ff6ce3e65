"""The browser. Only this package knows FastAPI; it uses ``tokens`` and ``resource_server``, never ``store``."""
