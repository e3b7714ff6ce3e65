"""The addresses to which the Hub returns the browser and the app returns the person: always addresses of this site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from fastapi import routing
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request

__all__ = ["PublicAddress", "named_routes", "origin_of", "route_path"]

MAX_ORIGIN_BYTES = 1024
"""How long the path may be to which a person returns, because it travels in a cookie."""

_PATH_PARAMETER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_PATH_CHARACTERS = "/:@!$&'()*+,;=~"
_QUERY_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")

# FastAPI before 0.137 copies the routes of an included router into the app's own list; since then the list is a tree.
_each_route = getattr(routing, "iter_route_contexts", iter)


class PublicAddress:
    """The site of a request as the browser sees it: ``base_url`` of the settings, else the request's own address."""

    def __init__(self, request: Request, base_url: str | None) -> None:
        self.request = request
        # Without the trailing slash, because every path begins with one.
        self.base: URL = URL(base_url) if base_url else URL(str(request.base_url).rstrip("/"))
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
        # As bytes, because a client may send bytes that are no text; what has been encoded stays as it is.
        query = quote(self.request.scope["query_string"], safe=_QUERY_CHARACTERS)
        return self.path(quote(self._inside, safe=_PATH_CHARACTERS)) + (f"?{query}" if query else "")

    def contains(self, url: str) -> bool:
        """Return True if an absolute address belongs to this site."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return (parts.scheme, parts.netloc) == (self.base.scheme, self.base.netloc) and _is_sendable(url)

    def safe_origin(self, value: object, ours: str) -> str | None:
        """Return the path of this site to which a person returns, or None for anything that leads elsewhere.

        Browsers drop control characters and read a backslash as a slash, so neither is allowed. ``ours`` is the path
        below which our routes are: returning to a login would start it again for ever.
        """
        path = self._path_of_this_site(value)
        if path is None or len(path.encode()) > MAX_ORIGIN_BYTES:
            return None
        if ours not in ("", "/") and re.split(r"[?#]", path)[0].startswith(ours + "/"):
            return None
        return path

    def target(self, value: str) -> str | None:
        """Return the path that a hook gave as the browser sees it, or None for anything that leads elsewhere.

        Like the paths of our own routes it need not contain what lies in front of the app, but it may.
        """
        path = self._path_of_this_site(value)
        front = self.path("")
        if path is None or path != value or f"{re.split(r'[?#]', path)[0]}/".startswith(f"{front}/"):
            return path
        return front + path

    def _path_of_this_site(self, value: object) -> str | None:
        if not isinstance(value, str) or not value or not _is_sendable(value):
            return None
        if self.contains(value):
            value = value.removeprefix(f"{self.base.scheme}://{self.base.netloc}") or "/"
        return value if value.startswith("/") and not value.startswith("//") else None


def named_routes(app: Starlette, name: str) -> Iterator[tuple[str, object]]:
    """Yield the path of each of an app's routes of that name, and what its endpoint belongs to, if that is a Site."""
    for route in _each_route(app.routes):
        template = getattr(route, "path", None)
        if getattr(route, "name", None) == name and template is not None:
            yield template, getattr(getattr(getattr(route, "endpoint", None), "__self__", None), "site", None)


def origin_of(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port of an address (RFC 6454 §4), or None for one that has no host, such as ``null``."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _is_sendable(url: str) -> bool:
    """Return True if a browser reads this address as we do, and if it can be encoded at all (no lone surrogates)."""
    return not _UNSAFE.search(url) and url.isprintable()


def route_path(
    request: Request, name: str, owner: object, client_name: str | None = None, beside: str | None = None
) -> str | None:
    """Return the path of our route of that name within the request's app, or None if the app does not include it.

    Several ZaikioOAuth objects have routes of the same names in one app; only those of ``owner`` count, or those of
    nobody. If there are several, ``beside`` is preferred, else the first.
    """
    values = {key: str(value) for key, value in request.path_params.items() if key != "client_name"}
    if client_name is not None:
        values["client_name"] = client_name
    own: list[str] = []
    unowned: list[str] = []
    for template, site in named_routes(request.app, name):
        expected = set(_PATH_PARAMETER.findall(template))
        if not expected <= set(values) or ("client_name" in expected) != (client_name is not None):
            continue
        path = _PATH_PARAMETER.sub(lambda match: quote(values[match[1]], safe=""), template)
        if site is owner or site is None:
            (own if site is owner else unowned).append(path)
    found = own + unowned
    return beside if beside in found else next(iter(found), None)
