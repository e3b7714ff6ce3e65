"""The addresses to which the Hub returns the browser and the app returns the person: always addresses of this site."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from fastapi.routing import iter_route_contexts
from starlette.datastructures import URL
from starlette.requests import Request

__all__ = ["PublicAddress", "route_path"]

MAX_ORIGIN_LENGTH = 1024
_PATH_PARAMETER = re.compile(r"\{(\w+)[^}]*\}")
_PATH_CHARACTERS = "/:@!$&'()*+,;=~"
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


class PublicAddress:
    """The site of a request as the browser sees it: ``base_url`` of the settings, else the request's own address."""

    def __init__(self, request: Request, base_url: str | None) -> None:
        self.request = request
        # Without the trailing slash, because every path begins with one.
        self.base = URL(base_url) if base_url else URL(str(request.base_url).rstrip("/"))
        self._root: str = request.scope.get("root_path", "")
        # Where the app is mounted in another one; what lies outside of that is part of the base.
        self._mount: str = self._root.removeprefix(request.scope.get("app_root_path", self._root))

    @property
    def secure(self) -> bool:
        """True if the browser uses https."""
        return self.base.scheme == "https"

    @property
    def own_path(self) -> str:
        """This request's path within its app, with everything percent-encoded that may be (RFC 3986 §2.3)."""
        return quote(self._inside)

    @property
    def _inside(self) -> str:
        full: str = self.request.scope["path"]
        return full[len(self._root) :] if self._root and full.startswith(self._root + "/") else full

    def path(self, path: str) -> str:
        """Return a path within this request's app as the browser sees it."""
        return self.base.path.rstrip("/") + self._mount + path

    def url(self, path: str) -> str:
        """Return a path within this request's app as an absolute address."""
        return f"{self.base.scheme}://{self.base.netloc}{self.path(path)}"

    def current(self) -> str:
        """Return this request's path and query as the browser sees them."""
        query = self.request.url.query
        return self.path(quote(self._inside, safe=_PATH_CHARACTERS)) + (f"?{query}" if query else "")

    def contains(self, url: str) -> bool:
        """Return True if an absolute address belongs to this site."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return (parts.scheme, parts.netloc) == (self.base.scheme, self.base.netloc) and not _UNSAFE.search(url)

    def stays(self, target: str) -> bool:
        """Return True if a redirect to this text stays on this site, after RedirectResponse has encoded it.

        It encodes control characters and backslashes, so only a second slash or a scheme can lead away.
        """
        return self.contains(target) or (target.startswith("/") and not target.startswith("//"))

    def safe_origin(self, value: object, ours: str) -> str | None:
        """Return the path of this site to which a person returns, or None for anything that leads elsewhere.

        Browsers drop control characters and read a backslash as a slash, so neither is allowed. ``ours`` is the path
        below which our routes are: returning to a login would start it again for ever.
        """
        if not isinstance(value, str) or not value or len(value) > MAX_ORIGIN_LENGTH or _UNSAFE.search(value):
            return None
        if self.contains(value):
            value = value.removeprefix(f"{self.base.scheme}://{self.base.netloc}") or "/"
        if not value.startswith("/") or value.startswith("//"):
            return None
        if ours not in ("", "/") and re.split(r"[?#]", value)[0].startswith(ours + "/"):
            return None
        return value


def route_path(request: Request, name: str, owner: object, client_name: str | None = None) -> str | None:
    """Return the path of our route of that name within the request's app, or None if the app does not include it.

    Several ZaikioOAuth objects have routes of the same names in one app; those of ``owner`` are preferred.
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
        if getattr(endpoint_owner, "site", None) is owner:
            return path
        fallback = fallback or path
    return fallback
