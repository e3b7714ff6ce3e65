"""The local Hub's pages, in English and German."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from zaikio_oauth.testing.local_hub.texts import TEXTS, permission

__all__ = ["Pages"]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
}


class Pages:
    """Renders templates with the texts of the language that the request wants."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("zaikio_oauth.testing.local_hub", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._templates.trim_blocks = self._templates.lstrip_blocks = True

    def show(
        self, request: Request, template: str, status_code: int = 200, *, language: str | None = None, **values: Any
    ) -> HTMLResponse:
        """The page."""
        chosen = language_of(request, language)
        html = self._templates.get_template(template).render(
            t=TEXTS[chosen],
            language=chosen,
            permission=lambda scope: permission(scope, chosen),
            switches=_switches(request),
            **values,
        )
        return HTMLResponse(html, status_code, dict(_HEADERS))


def language_of(request: Request, wanted: str | None) -> str:
    """``de`` or ``en``: what the app asks for, else what the browser likes better."""
    tags: Iterable[str] = [wanted or ""]
    if not wanted:
        tags = (part.strip() for part in request.headers.get("accept-language", "").split(","))
    for tag in tags:
        if tag[:2].lower() in TEXTS:
            return tag[:2].lower()
    return "en"


def _switches(request: Request) -> list[tuple[str, str, str]]:
    """This page in each language: its code, its name, its address."""
    return [
        (code, texts["language"], str(request.url.include_query_params(lang=code)))
        for code, texts in TEXTS.items()
        if request.method == "GET"
    ]
