"""Where things are: our routes as the outside sees them, and which addresses are this site's."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from fastapi.routing import iter_route_contexts
from starlette.datastructures import URL
from starlette.requests import Request

__all__ = ["Location", "route_path", "safe_origin"]

LONGEST_ORIGIN = 1024
_PATH_PARAMETER = re.compile(r"\{(\w+)[^}]*\}")
_PATH_CHARACTERS = "/:@!$&'()*+,;=~%"
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


class Location:
    """The site of one request: ``base_url`` from the settings, or the address the request came to."""

    def __init__(self, request: Request, base_url: str | None) -> None:
        self.request = request
        # A trailing slash would double the one that each path begins with.
        self.base = URL(base_url) if base_url else URL(str(request.base_url).rstrip("/"))
        root = request.scope.get("root_path", "")
        # Where the app is itself mounted in another one; what lies outside of that is part of the base.
        self.mount: str = root.removeprefix(request.scope.get("app_root_path", root))

    @property
    def secure(self) -> bool:
        """Whether people reach the site by https."""
        return self.base.scheme == "https"

    def path(self, path: str) -> str:
        """A path of this request's app as the outside sees it, below what a proxy strips."""
        return self.base.path.rstrip("/") + self.mount + path

    def url(self, path: str) -> str:
        """A path of this request's app as an absolute address."""
        return f"{self.base.scheme}://{self.base.netloc}{self.path(path)}"

    def current(self) -> str:
        """This request's path and query as the outside sees them."""
        full, root = self.request.scope["path"], self.request.scope.get("root_path", "")
        own = full[len(root) :] if root and full.startswith(root + "/") else full
        query = self.request.url.query
        return quote(self.path(own), safe=_PATH_CHARACTERS) + (f"?{query}" if query else "")

    def contains(self, url: str) -> bool:
        """Whether an absolute address is of this site."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return (parts.scheme, parts.netloc) == (self.base.scheme, self.base.netloc) and not _UNSAFE.search(url)


def safe_origin(value: object, location: Location, ours: str) -> str | None:
    """The address as a path of this site; None for anything that leads elsewhere.

    Browsers drop control characters and read a backslash as a slash, so neither may stand in it.
    ``ours`` is the path our routes are below: coming back to a login would log in for ever.
    """
    if not isinstance(value, str) or not value or len(value) > LONGEST_ORIGIN or _UNSAFE.search(value):
        return None
    if location.contains(value):
        value = value.removeprefix(f"{location.base.scheme}://{location.base.netloc}") or "/"
    if not value.startswith("/") or value.startswith("//"):
        return None
    if ours not in ("", "/") and re.split(r"[?#]", value)[0].startswith(ours + "/"):
        return None
    return value


def route_path(request: Request, name: str, owner: object, client_name: str | None = None) -> str | None:
    """The path of our route of that name within the request's app, or None when the app does not include it.

    Several ZaikioOAuth objects have routes of the same names in one app; ``owner``'s are preferred.
    """
    values = {key: str(value) for key, value in request.path_params.items() if key != "client_name"}
    if client_name is not None:
        values["client_name"] = client_name
    fallback = None
    for context in iter_route_contexts(request.app.routes):
        template = getattr(context, "path", None)
        if getattr(context, "name", None) != name or template is None:
            continue
        expected = set(_PATH_PARAMETER.findall(template))
        if not expected <= set(values) or ("client_name" in expected) != (client_name is not None):
            continue
        path = _PATH_PARAMETER.sub(lambda found: quote(values[found[1]], safe=""), template)
        endpoint_owner = getattr(getattr(context, "endpoint", None), "__self__", None)
        if getattr(endpoint_owner, "parts", None) is owner:
            return path
        fallback = fallback or path
    return fallback
