"""What older versions of our dependencies do differently, for tests that run with them too (``make test-lowest``)."""

from __future__ import annotations

import fastapi
from fastapi import routing
from starlette.middleware import sessions

ROUTES_ARE_COPIED = not hasattr(routing, "iter_route_contexts")
"""FastAPI before 0.137 copies each route of an included router into the app's own list."""

SESSION_IS_ALWAYS_SENT = not hasattr(sessions, "Session")
"""Starlette before 1.0 sends the session cookie with every response, and not only if the session has changed."""

SCOPES_ARE_NOT_IN_OPENAPI = tuple(map(int, fastapi.__version__.split(".")[:2])) < (0, 124)
"""FastAPI before 0.124 names the scopes of OAuth 2.0 schemes only."""
