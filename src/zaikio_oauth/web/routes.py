"""Each route of ours twice: for the default client, and under ``/{client_name}``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["START_PARAMETERS", "add_routes", "query_parameter"]

_CLIENT_NAME = {"name": "client_name", "in": "path", "required": True, "schema": {"type": "string"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    303: {"description": "On to the next page"},
    404: {"description": "No such client, or no organization connection"},
}


def query_parameter(name: str, description: str) -> dict[str, Any]:
    """An optional query parameter for the OpenAPI page."""
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": description}


START_PARAMETERS = [
    query_parameter("origin", "The path of this site to return to."),
    query_parameter("state", "A state of the app's own, instead of a fresh one."),
    query_parameter("lang", "The language of the Hub's pages."),
    query_parameter("show_signup", "Show the sign-up page first."),
    query_parameter("force_login", "Ask for the credentials also of a person who is logged in at the Hub."),
    query_parameter("prompt", "For instance select_account."),
    query_parameter("prompt_email_confirmation", "Ask for the e-mail to be confirmed first."),
    query_parameter("login", "A suggested e-mail address."),
    query_parameter("signup", "false forbids signing up."),
]


def add_routes(
    router: APIRouter,
    method: str,
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    name: str,
    parameters: Sequence[dict[str, Any]] = (),
) -> None:
    """Add the route and its twin for a named client."""
    for prefix, own in (("", []), ("/{client_name}", [_CLIENT_NAME])):
        router.add_api_route(
            prefix + path,
            endpoint,
            methods=[method],
            name=name,
            tags=["zaikio"],
            response_class=Response,
            status_code=303,
            responses=_RESPONSES,
            openapi_extra={"parameters": [*own, *parameters]},
        )
