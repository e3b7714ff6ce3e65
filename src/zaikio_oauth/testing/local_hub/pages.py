"""The local Hub's pages, in English and German."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from zaikio_oauth.testing.local_hub.state.browser_sessions import BrowserSessions
from zaikio_oauth.testing.local_hub.texts import TEXTS, named, permission
from zaikio_oauth.web.messages import ranked_languages

__all__ = ["Pages", "query_in"]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
}


class Pages:
    """Renders the templates in the language of the request."""

    def __init__(self, sessions: BrowserSessions) -> None:
        self._sessions = sessions
        self._templates = Environment(
            loader=PackageLoader("zaikio_oauth.testing.local_hub", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._templates.trim_blocks = self._templates.lstrip_blocks = True
        self._icon = self._templates.get_template("mark.svg").render()

    def show(
        self, request: Request, template: str, status_code: int = 200, *, language: str | None = None, **values: Any
    ) -> HTMLResponse:
        """Return a page without a form."""
        chosen = language_of(request, language)
        html = self._templates.get_template(template).render(
            t=TEXTS[chosen],
            language=chosen,
            icon=self._icon,
            named=lambda values: named(values, chosen),
            permission=lambda scope: permission(scope, chosen),
            switches=_switches(request),
            **values,
        )
        return HTMLResponse(html, status_code, dict(_HEADERS))

    def show_form(
        self, request: Request, template: str, query: QueryParams, *, status_code: int = 200, **values: Any
    ) -> HTMLResponse:
        """Return a page with a form, which carries the query along and proves that the page is the Hub's own."""
        session = self._sessions.ensure(request)
        response = self.show(
            request,
            template,
            status_code,
            language=query.get("lang"),
            query=urlencode(query.multi_items()),
            csrf=self._sessions.csrf_token(session),
            **values,
        )
        self._sessions.keep(response, session)
        return response

    def refuse(self, request: Request, error: str, description: str, *, options: str = "") -> HTMLResponse:
        """Return the page for an error that must not be sent to the app; the description is for its developers.

        ``options``: those of ``zaikio-oauth hub`` with which there would be no error.
        """
        values = {"error": error, "description": description, "options": options}
        return self.show(request, "refused.html", 400, language=request.query_params.get("lang"), **values)

    def expired(self, request: Request) -> HTMLResponse:
        """Return the page for a form that cannot be used any more."""
        return self.refuse(request, "invalid_request", TEXTS[language_of(request, None)]["expired_form"])

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Return the page for an address or a method that does not exist; programs receive one line of text."""
        if not isinstance(error, HTTPException):
            raise error
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(error.detail, error.status_code, error.headers)
        return self.show(request, "missing.html", error.status_code, language=request.query_params.get("lang"))

    async def icon(self, _request: Request) -> Response:
        """Return the icon that a browser asks for beside a response that is not a page."""
        return Response(self._icon, media_type="image/svg+xml")


def query_in(form: FormData) -> QueryParams:
    """Return the query that a form of ``Pages.show_form`` carries along."""
    carried = form.get("request")
    return QueryParams(parse_qsl(carried if isinstance(carried, str) else "", keep_blank_values=True))


def language_of(request: Request, wanted: str | None) -> str:
    """Return ``de`` or ``en``: what the app asks for, else what the browser prefers."""
    tags = [wanted] if wanted else ranked_languages(request)
    return next((tag[:2].lower() for tag in tags if tag[:2].lower() in TEXTS), "en")


def _switches(request: Request) -> list[tuple[str, str, str]]:
    """Return the code and name of each language, with the address of this page in it."""
    return [
        (code, texts["language"], str(request.url.include_query_params(lang=code)))
        for code, texts in TEXTS.items()
        if request.method == "GET"
    ]
