"""Sessions that are logged in without a login, for an app's own tests, where ``environment`` is ``test``."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from itsdangerous import BadSignature, TimestampSigner
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import OnBehalfOf
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.tokens.virtual_token import VirtualGrant
from zaikio_oauth.web.session import ACCESS_TOKEN_ID, MAX_VIRTUAL_ID_LENGTH, PERSON_ID

__all__ = ["BrowserCookie", "logged_in_as", "session_cookie"]

_SAME_SITE: dict[str, Literal["Lax", "None", "Strict"]] = {"strict": "Strict", "none": "None"}


class BrowserCookie(TypedDict, total=False):
    """A cookie as Playwright's ``add_cookies`` takes it.

    Its keys and their types are exactly Playwright's, because only then do type checkers take one for the other.
    """

    name: str
    value: str
    url: str | None
    domain: str | None
    path: str | None
    expires: float | None
    httpOnly: bool | None
    secure: bool | None
    sameSite: Literal["Lax", "None", "Strict"] | None
    partitionKey: str | None


def logged_in_as(
    client: Any,
    person_id: str,
    client_name: str | None = None,
    scopes: str | Iterable[str] | None = None,
    on_behalf_of: str | OnBehalfOf | None = None,
) -> None:
    """Log this person in, in Starlette's ``TestClient`` or an ``httpx.AsyncClient`` with an ``ASGITransport``.

    Everything else in the session is kept. ``client_name`` is the OAuth client of the virtual token; without
    it, the app's default client. ``scopes`` are those of the token; without them, the client's ``default_scopes``.
    ``on_behalf_of``: the id of the organization for which the person acts, or, with the person's roles in it,
    ``OnBehalfOf(id=organization_id, type="Organization", roles=["admin"])``.

    This works only if ``environment`` is ``test``; otherwise nobody is logged in, and the log says so. Raises
    ConfigurationError if the client has no app or the app has no SessionMiddleware, and ValueError for more than the
    session has room for.

        logged_in_as(client, person_id, scopes=["zaikio.sites.r"], on_behalf_of=organization_id)
        assert client.get("/sites").status_code == 200
    """
    ours = _session(person_id, client_name, scopes, on_behalf_of)
    app = _app_of(client)
    options = _session_options(app)
    name = options.get("session_cookie", "session")
    for cookie in list(client.cookies.jar):
        if cookie.name == name:
            session = _opened(options, cookie.value or "")
            client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)
            break
    else:
        session = {}
    session |= ours
    client.cookies.set(name, _sealed(options, session), domain=_cookie_domain(client), path=options.get("path", "/"))


def session_cookie(
    app: Any,
    person_id: str,
    client_name: str | None = None,
    scopes: str | Iterable[str] | None = None,
    on_behalf_of: str | OnBehalfOf | None = None,
    *,
    url: str = "http://localhost:8000",
) -> BrowserCookie:
    """Return the session cookie of a person who is logged in, for Playwright's ``context.add_cookies([…])``.

    ``client_name``, ``scopes`` and ``on_behalf_of`` are as in ``logged_in_as``. ``url`` is the address of the app in
    the browser. This works only if ``environment`` is ``test``. Raises ConfigurationError if the app has no
    SessionMiddleware, and ValueError for more than the session has room for.

        context.add_cookies([session_cookie(app, person_id, url="http://localhost:8000")])
    """
    options = _session_options(app)
    return {
        "name": options.get("session_cookie", "session"),
        "value": _sealed(options, _session(person_id, client_name, scopes, on_behalf_of)),
        "url": url,
        "httpOnly": True,
        "sameSite": _SAME_SITE.get(options.get("same_site", "lax"), "Lax"),
    }


def _cookie_domain(client: Any) -> str:
    """Return the domain of the app's own cookies in the jar, so that the app can change or delete this one."""
    host = str(client.base_url.host)
    return host if "." in host else f"{host}.local"


def _session(
    person_id: str,
    client_name: str | None,
    scopes: str | Iterable[str] | None,
    on_behalf_of: str | OnBehalfOf | None,
) -> dict[str, Any]:
    acting = OnBehalfOf(id=on_behalf_of) if isinstance(on_behalf_of, str) else on_behalf_of
    if acting and acting.id == person_id:
        raise ValueError("on_behalf_of has to be the organization for which the person acts, not the person.")
    of_bearer = ("Organization", acting.id) if acting else ("Person", person_id)
    wanted = None if scopes is None else scope_rules.of_bearer(scopes, *of_bearer, on_behalf=acting is not None)
    grant = VirtualGrant(
        client_name or "", person_id, wanted, acting.id if acting else None, acting.roles if acting else ()
    )
    access_token_id = grant.access_token_id
    if len(access_token_id) > MAX_VIRTUAL_ID_LENGTH:
        raise ValueError(
            f"Ids, scopes and roles need {len(access_token_id)} characters of the session, which has room for "
            f"{MAX_VIRTUAL_ID_LENGTH}; name fewer scopes."
        )
    return {ACCESS_TOKEN_ID: access_token_id, PERSON_ID: person_id}


def _app_of(client: Any) -> Any:
    app = getattr(client, "app", None) or getattr(getattr(client, "_transport", None), "app", None)
    if app is None:
        raise ConfigurationError(
            "logged_in_as() needs a TestClient, or an AsyncClient whose transport is ASGITransport(app=…); "
            "for a browser there is session_cookie()."
        )
    return app


def _session_options(app: Any) -> dict[str, Any]:
    """Return the options of the app's SessionMiddleware, even if other middleware or apps wrap it."""
    while app is not None:
        for middleware in getattr(app, "user_middleware", ()):
            if isinstance(middleware.cls, type) and issubclass(middleware.cls, SessionMiddleware):
                options = dict(middleware.kwargs)
                if middleware.args:
                    options["secret_key"] = middleware.args[0]
                return options
        if isinstance(app, Starlette):
            break
        app = getattr(app, "app", None)
    raise ConfigurationError(
        "The app has no session; add: app.add_middleware(SessionMiddleware, secret_key=…)  "
        "# from starlette.middleware.sessions"
    )


def _sealed(options: dict[str, Any], session: dict[str, Any]) -> str:
    """Return the session in the format of Starlette's middleware."""
    data = b64encode(json.dumps(session).encode())
    return TimestampSigner(str(options["secret_key"])).sign(data).decode("ascii")


def _opened(options: dict[str, Any], value: str) -> dict[str, Any]:
    try:
        data = TimestampSigner(str(options["secret_key"])).unsign(value.encode(), max_age=options.get("max_age"))
        session = json.loads(b64decode(data))
    except (BadSignature, ValueError):
        return {}
    return session if isinstance(session, dict) else {}
