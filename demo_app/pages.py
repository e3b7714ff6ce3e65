"""The pages of Bogenlager, rendered on the server, in English and German."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, Form, Request
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.templating import Jinja2Templates

from demo_app.language import LANGUAGES, Say, day, language_of, namer, number, speaker
from demo_app.stock import PAPERS
from demo_app.texts import TEXTS
from demo_app.users import CurrentUser
from zaikio_oauth import (
    AccessToken,
    HubUnavailableError,
    InvalidResponseError,
    OAuthError,
    connections,
    current_access_token,
    login_error,
    with_auth,
)

__all__ = ["broken", "forget_organization", "from_hub", "http_error", "page", "router", "said_scopes"]

router = APIRouter()

HERE = Path(__file__).parent
PLANS = ("free", "pro")
SHOWN_CONNECTIONS = 100
SWITCHABLE = ("/", "/me", "/organization", "/connections", "/subscription", "/device")


@router.get("/")
async def landing(request: Request) -> Response:
    """Show what Bogenlager is, and the three ways to start."""
    return page(
        request,
        "landing.html",
        error=login_error(request),
        cancelled=request.session.pop("cancelled", False),
        plans=PLANS,
        papers=PAPERS,
    )


@router.get("/me")
async def me(
    request: Request, token: Annotated[AccessToken, Depends(current_access_token)], user: CurrentUser
) -> Response:
    """Show what the Hub knows about the logged-in person, and what their token allows."""
    person, trouble = await from_hub(request, "/person", token)
    if trouble == "rejected":
        return page(request, "hub_trouble.html", trouble=trouble)
    scopes = said_scopes(request, token)
    return page(request, "me.html", person=person, trouble=trouble, token=token, scopes=scopes, user=user)


@router.get("/organization")
async def organization(request: Request) -> Response:
    """Show the organization that installed Bogenlager; nobody has to be logged in for this."""
    organization_id = request.session.get("organization_id")
    if organization_id is None:
        return page(request, "no_organization.html")
    data, trouble, scopes = None, None, []
    try:
        async with with_auth(
            bearer_type="Organization", bearer_id=organization_id, scopes=["zaikio.organization.r"]
        ) as token:
            data, trouble = await from_hub(request, "/organization", token)
            scopes = said_scopes(request, token)
            if data and data.get("name"):
                request.app.state.organization_names[organization_id] = str(data["name"])
    except OAuthError:
        trouble = "rejected"
    except (HubUnavailableError, InvalidResponseError):
        trouble = "unreachable"
    return page(request, "organization.html", organization=data, trouble=trouble, scopes=scopes, papers=PAPERS)


@router.get("/connections")
async def connected(request: Request, _token: Annotated[AccessToken, Depends(current_access_token)]) -> Response:
    """Show which organizations have installed Bogenlager. A product shows this to its own support only."""
    shown = []
    async for connection in connections():
        shown.append(connection)
        if len(shown) == SHOWN_CONNECTIONS:
            break
    return page(request, "connections.html", connections=shown, names=request.app.state.organization_names)


@router.post("/organization/forget")
async def forget(request: Request) -> Response:
    """Forget the organization in this browser; Bogenlager remains installed at Zaikio."""
    forget_organization(request)
    return RedirectResponse("/", status_code=303)


@router.get("/subscription")
async def subscription(request: Request) -> Response:
    """Show the plan that an organization has just subscribed to."""
    return page(request, "subscription.html")


@router.post("/language")
async def switch_language(
    request: Request, language: Annotated[str, Form()] = "", back: Annotated[str, Form()] = "/"
) -> Response:
    """Remember the language and show the same page again."""
    if language in LANGUAGES:
        request.session["language"] = language
    return RedirectResponse(back if back in SWITCHABLE else "/", status_code=303)


@router.get("/favicon.ico", include_in_schema=False)
async def icon(_request: Request) -> Response:
    """Return the icon that a browser asks for beside a response that is not a page."""
    return FileResponse(HERE / "static" / "favicon.svg")


def forget_organization(request: Request) -> None:
    """Remove everything about an organization from the session."""
    for key in ("organization_id", "plan"):
        request.session.pop(key, None)


async def from_hub(request: Request, path: str, token: AccessToken) -> tuple[dict[str, Any] | None, str | None]:
    """Return the JSON that the Hub's API sends for this token, or what went wrong: ``rejected`` or ``unreachable``."""
    client: httpx.AsyncClient = request.app.state.hub
    try:
        answer = await client.get(path, headers={"Authorization": f"Bearer {token.token}"})
        if answer.status_code in (401, 403):
            return None, "rejected"
        data = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None, "unreachable"
    return (data, None) if isinstance(data, dict) else (None, "unreachable")


def said_scopes(request: Request, token: AccessToken) -> list[tuple[str, str]]:
    """Return each granted scope with its meaning."""
    say = speaker(language_of(request))
    return [(scope, _said_scope(say, scope)) for scope in token.scopes]


def _said_scope(say: Say, scope: str) -> str:
    if f"scope.{scope}" in TEXTS:
        return say(f"scope.{scope}")
    app, _, rest = scope.partition(".")
    name, _, permission = rest.rpartition(".")
    known = permission in ("r", "w", "rw") and bool(name)
    return say(f"scope.any.{permission}", name=name, app=app) if known else scope


# ── errors ─────────────────────────────────────────────────────────────────────────────────────────


async def http_error(request: Request, error: HTTPException) -> Response:
    """Show an HTTP error as a page, or as JSON to a client that does not ask for HTML."""
    if error.status_code < 400 or "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    if error.status_code == 503:
        return page(request, "hub_trouble.html", status=503, headers=error.headers, trouble="unreachable")
    kind = {404: "missing", 405: "missing"}.get(error.status_code, "forbidden")
    return page(request, "error.html", status=error.status_code, headers=error.headers, kind=kind)


async def broken(request: Request, _error: Exception) -> Response:
    """Show an apology for an error in the app; the log has the details."""
    return page(request, "error.html", status=500, kind="broken")


# ── rendering ──────────────────────────────────────────────────────────────────────────────────────


def frame(request: Request) -> dict[str, Any]:
    """Return what every page needs: the language, and who is logged in."""
    language = language_of(request)
    settings = request.app.state.settings
    client = settings.client(settings.default_client)
    return {
        "language": language,
        "languages": LANGUAGES,
        "say": speaker(language),
        "named": namer(language),
        "day": lambda instant: day(instant, language),
        "number": lambda value: number(value, language),
        "here": request.url.path if request.url.path in SWITCHABLE else "/",
        "logged_in": "zaikio_person_id" in request.session,
        "organization_id": request.session.get("organization_id"),
        "plan": request.session.get("plan"),
        "installable": bool(client.organization_scopes),
        "hub": settings.host,
    }


templates = Jinja2Templates(HERE / "templates", context_processors=[frame])
templates.env.trim_blocks = templates.env.lstrip_blocks = True


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """Render a template; browsers and proxies must not store it, because pages show who is logged in."""
    context["status"] = status
    headers = {"Cache-Control": "no-store", **(context.pop("headers", None) or {})}
    return templates.TemplateResponse(request, template, context, status_code=status, headers=headers)
