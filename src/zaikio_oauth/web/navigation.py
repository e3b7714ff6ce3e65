"""What a browser says about a request beside its address: what it is for, and which site it comes from.

Fetch Metadata (``Sec-Fetch-…``) cannot be set by a page's script. Browsers send it on https and on localhost only.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

from zaikio_oauth.web.return_address import PublicAddress, origin_of

__all__ = ["is_from_another_site", "is_page_view", "is_prefetch"]

_HTML = ("text/html", "application/xhtml+xml")
_NEVER = ("q=0", "q=0.0", "q=0.00", "q=0.000")
# The last one is Turbo's, whose script cannot set the first one.
_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz", "x-sec-purpose")
_AHEAD = ("prefetch", "prerender", "preview")
# For browsers without Fetch Metadata: libraries that fetch HTML to insert it into a page.
_SCRIPTS = ("hx-request", "x-turbo-request-id", "turbo-frame", "x-up-version", "x-pjax", "x-requested-with")


def is_page_view(connection: HTTPConnection) -> bool:
    """Return True if a person is navigating to a page: a GET or HEAD that accepts HTML by name, not only ``*/*``.

    Neither a script that fetches HTML is a page view (``Sec-Fetch-Mode``, Fetch Metadata §2.3) nor a prefetch.
    """
    if connection.scope["type"] != "http" or connection.scope["method"] not in ("GET", "HEAD"):
        return False
    if is_prefetch(connection) or not _accepts_html(connection):
        return False
    mode = connection.headers.get("sec-fetch-mode")
    if mode is not None:
        return mode.strip().lower() == "navigate"
    return not any(name in connection.headers for name in _SCRIPTS)


def is_prefetch(connection: HTTPConnection) -> bool:
    """Return True if the browser fetches a page that its person may never look at."""
    headers = connection.headers
    return any(word in value.lower() for name in _PURPOSES for value in headers.getlist(name) for word in _AHEAD)


def is_from_another_site(connection: HTTPConnection, address: PublicAddress) -> bool:
    """Return True if a page of another origin has made this request, by ``Sec-Fetch-Site`` or else by ``Origin``.

    A subdomain beside ours is another origin. What no browser has sent has neither header and is not from a page.
    """
    sites = connection.headers.getlist("sec-fetch-site")
    if sites:
        return any(site.strip().lower() not in ("same-origin", "none") for site in sites)
    ours = origin_of(str(address.base))
    return any(origin_of(origin) != ours for origin in connection.headers.getlist("origin"))


def _accepts_html(connection: HTTPConnection) -> bool:
    for part in ",".join(connection.headers.getlist("accept")).split(","):
        media_type, _, parameters = part.strip().partition(";")
        if media_type.strip().lower() in _HTML:
            return parameters.replace(" ", "") not in _NEVER
    return False
