"""How OpenAPI describes our routes and what our dependencies answer (OpenAPI 3.1, "Operation Object")."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi.routing import APIRoute

__all__ = ["BEARER_RESPONSES", "OPERATIONS", "SESSION_RESPONSES", "Operation"]

TAG = "zaikio"
USUAL_PREFIX = "/zaikio"
"""The prefix of the documentation, which is not repeated in the ids of operations."""

Described = dict[str, Any]
"""An object of the document, such as a response or a parameter."""

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


def _redirect(description: str) -> Described:
    return {"description": description, "headers": {"Location": {"description": "Where to.", "schema": _TEXT}}}


def _error(description: str, **headers: str) -> Described:
    """Return an error as FastAPI answers it, unless the app has its own handler of HTTPException."""
    body = {"type": "object", "required": ["detail"], "properties": {"detail": _TEXT}}
    described: Described = {"description": description, "content": {"application/json": {"schema": body}}}
    if headers:
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        described["headers"] = {name: {"description": text, "schema": _TEXT} for name, text in names.items()}
    return described


def _parameter(name: str, description: str, schema: Described = _TEXT, place: str = "query", **more: Any) -> Described:
    return {"name": name, "in": place, "required": False, "description": description, "schema": schema} | more


_CLIENT = _parameter("client_name", "The name of the client in the app's settings.", place="path", required=True)

_START = (
    _parameter("origin", "The path of this site to return to."),
    _parameter("state", "A state chosen by the app, instead of a fresh one.", _TEXT | {"maxLength": 255}),
    _parameter("lang", "The language of the Hub's pages.", _TEXT | {"examples": ["de"]}),
    _parameter("show_signup", "Show the sign-up page first.", _FLAG),
    _parameter("force_login", "Ask for the password even if the person is logged in at the Hub.", _FLAG),
    _parameter("prompt", "What the Hub asks for first.", _TEXT | {"examples": ["select_account"]}),
    _parameter("prompt_email_confirmation", "Ask the person to confirm their e-mail address first.", _FLAG),
    _parameter("login", "A suggested e-mail address."),
    _parameter("signup", "False forbids signing up.", _FLAG),
    *(_parameter(f"person[{name}]", "Prefilled on the sign-up page.") for name in ("first_name", "name", "email")),
    *(_parameter(f"organization[{name}]", "Prefilled on the sign-up page.") for name in ("name", "country_code")),
    _parameter("organization[kinds][]", "Prefilled on the sign-up page.", {"type": "array", "items": _TEXT}),
)
_IDENTIFIER = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_ORGANIZATION = _parameter("organization_id", "The organization; without it the person chooses one.", _IDENTIFIER)
_SUBSCRIPTION = (
    _parameter("plan", "The plan; without it the person chooses one.", _IDENTIFIER),
    _parameter("app_name", "The app to subscribe to, if it is not the client's own.", _IDENTIFIER),
    _parameter("redirect_uri", "A registered address of this site to return to, instead of connections/approve."),
)
_CALLBACK = (
    _parameter("state", "The state of the flow that this browser has started."),
    _parameter("code", "The authorization code."),
    _parameter("error", "Why there is no code.", _TEXT | {"examples": ["access_denied"]}),
    _parameter("error_description", "More about the error."),
    _parameter("iss", "The issuer (RFC 9207)."),
)
_SIGNATURE = _parameter(
    "X-Loom-Signature", "The hex HMAC-SHA256 of the body under the webhook secret.", place="header", required=True
)
_EVENT = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "id": _TEXT,
        "name": _TEXT | {"examples": ["zaikio.revoked_access_token"]},
        "subject": _TEXT | {"examples": ["Org/b1475f65-236c-58b8-96e1-e1778b43beb7"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "version": _TEXT,
        "payload": {"type": "object"},
        "link": {"anyOf": [_TEXT, {"type": "null"}]},
    },
}

_BROWSER = "For a link: the browser goes on to the Zaikio Hub. Swagger UI and other scripts cannot follow it there."
_TOO_LONG = "The request does not fit into the cookie that keeps it until the browser comes back"
_UNKNOWN = _error("There is no such client.")
_NO_CONNECTION = _error("There is no such client, or it has no organization scopes.")
_LOGGED_OUT: dict[int, Described] = {
    303: _redirect("Logged out: on to the home page, or to where the hook after_destroy leads."),
    403: _error("A page of another site has sent the request."),
}


def _new(malformed: str = "") -> dict[int, Described]:
    return {
        302: _redirect("To the Zaikio Hub. A cookie keeps the flow for 10 minutes."),
        400: _error(_TOO_LONG + malformed + "."),
        401: _error("The browser is only prefetching the page."),
    }


def _approve(done: str) -> dict[int, Described]:
    return {
        303: _redirect(f"{done}, or failed: on to the origin, to the home page, or to where a hook leads."),
        302: _redirect("To the Zaikio Hub once more, because it did not accept the code."),
    }


class Operation(NamedTuple):
    """A route as OpenAPI describes it. The first of the ``responses`` is that of success.

    ``unknown`` is the 404 if the client is in the path; ``unconfigured`` is that of any client, if there is one.
    """

    summary: str
    description: str
    responses: dict[int, Described]
    parameters: tuple[Described, ...] = ()
    body: Described | None = None
    unconfigured: Described | None = None

    def options(self, name: str, path: str, *, of_client: bool) -> dict[str, Any]:
        """Return arguments for ``APIRouter.add_api_route``."""
        missing = self.unconfigured or (_UNKNOWN if of_client else None)
        extra: Described = {"parameters": [*([_CLIENT] if of_client else ()), *self.parameters]}
        if self.body:
            extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": self.body}}}
        return {
            "tags": [TAG],
            "summary": f"{self.summary} (client in the path)" if of_client else self.summary,
            "description": self.description,
            "status_code": next(iter(self.responses)),
            "responses": dict(sorted((self.responses | ({404: missing} if missing else {})).items())),
            "openapi_extra": extra,
            "generate_unique_id_function": _operation_id(f"{name}_of_client" if of_client else name, path),
        }


def _operation_id(name: str, path: str) -> Callable[[APIRoute], str]:
    """Return what names an operation after its route: ``zaikio_new_session``, below another prefix with that prefix."""

    def named(route: APIRoute) -> str:
        prefix = route.path_format.removesuffix(path)
        if prefix == USUAL_PREFIX:
            return name
        return f"{name}_at_{'_'.join(re.findall(r'[A-Za-z0-9_]+', prefix))}" if prefix else f"{name}_without_prefix"

    return named


_LOG_OUT = "Ends the login of this browser, deletes its token, and revokes it at the Zaikio Hub."

OPERATIONS: dict[str, Operation] = {
    "zaikio_new_session": Operation("Log in", _BROWSER, _new(), _START),
    "zaikio_approve_session": Operation(
        "Complete a login",
        "The Zaikio Hub sends the browser back to this address, once for each login, and the person is logged in.",
        _approve("Logged in"),
        _CALLBACK,
    ),
    "zaikio_destroy_session": Operation("Log out", _LOG_OUT, _LOGGED_OUT),
    "zaikio_delete_session_form": Operation(
        "Log out with a form", f"For HTML forms, which cannot send DELETE. {_LOG_OUT}", _LOGGED_OUT
    ),
    "zaikio_new_connection": Operation(
        "Connect an organization",
        f"{_BROWSER} Somebody who may decide for the organization grants the app access to its data.",
        _new(", or organization_id is malformed"),
        (_ORGANIZATION, *_START),
        unconfigured=_NO_CONNECTION,
    ),
    "zaikio_approve_connection": Operation(
        "Complete a connection",
        "The Zaikio Hub sends the browser back to this address, once for each connection or subscription.",
        _approve("Connected"),
        _CALLBACK,
        unconfigured=_NO_CONNECTION,
    ),
    "zaikio_new_subscription": Operation(
        "Subscribe an organization",
        f"{_BROWSER} The organization subscribes to the app and is connected to it.",
        _new(", or organization_id, plan or app_name is malformed"),
        (*_SUBSCRIPTION, _ORGANIZATION, *_START),
        unconfigured=_NO_CONNECTION,
    ),
    "zaikio_webhook": Operation(
        "Receive an event",
        "The Zaikio Hub delivers each event until it gets the status 200. Repeated deliveries are harmless.",
        {
            200: {"description": "The event was received."},
            400: _error("This is not an event, or it is not complete."),
            401: _error("The signature is not valid."),
            413: _error("The event is larger than 64 KiB."),
            503: _error("The event was not handled within a second and has to be delivered again."),
        },
        (_SIGNATURE,),
        _EVENT,
        _error("There is no such client, or it has no webhook secret."),
    ),
}
"""Our routes by their names."""

SESSION_RESPONSES: dict[int | str, Described] = {
    303: _redirect("Nobody is logged in, and this is a page view: on to the login."),
    401: _error("Nobody is logged in.", WWW_Authenticate="The word Cookie."),
    403: _error("The login does not include a scope that is needed."),
    503: _error("The login cannot be checked at the moment.", Retry_After="The number of seconds to wait."),
}
BEARER_RESPONSES: dict[int | str, Described] = {
    400: _error("There are several Authorization headers.", WWW_Authenticate="The reason, as RFC 6750 §3 says."),
    401: _error("There is no bearer token, or it is not valid.", WWW_Authenticate="The reason, as RFC 6750 §3 says."),
    403: _error(
        "The token does not include a scope that is needed, or its subject is of another type.",
        WWW_Authenticate="The reason, as RFC 6750 §3 says.",
    ),
    503: _error("The token cannot be verified at the moment.", Retry_After="The number of seconds to wait."),
}
