"""Our routes in an app: how they are found, what they return, and that the app's own pages do not become slower.

The expected behaviour is that of a plain FastAPI router with the same routes.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, routing
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, NoMatchFound

from tests.versions import ROUTES_ARE_COPIED
from tests.visitor import Visitor
from zaikio_oauth import ZaikioOAuth

ROUTES = {
    ("GET", "/sessions/new", "zaikio_new_session"),
    ("GET", "/sessions/approve", "zaikio_approve_session"),
    ("DELETE", "/session", "zaikio_destroy_session"),
    ("POST", "/session/delete", "zaikio_delete_session_form"),
    ("GET", "/connections/new", "zaikio_new_connection"),
    ("GET", "/connections/approve", "zaikio_approve_connection"),
    ("GET", "/subscriptions/new", "zaikio_new_subscription"),
    ("POST", "/webhook", "zaikio_webhook"),
}
TWICE = {(method, client + path, name) for method, path, name in ROUTES for client in ("", "/{client_name}")}
iter_route_contexts = getattr(routing, "iter_route_contexts", iter)
ADDED_LATER = 404 if ROUTES_ARE_COPIED else 200
"""What a route answers that was added after its router was included."""
PARTS = ("sessions_router", "connections_router", "subscriptions_router", "webhook_router")


def plain(zaikio: ZaikioOAuth) -> APIRouter:
    """Return an APIRouter with plain routes for the same paths."""
    router = APIRouter()
    for route in zaikio.router.routes:
        router.add_api_route(route.path, route.endpoint, methods=list(route.methods), name=route.name)
    return router


def app_with(router: APIRouter, *prefixes: str, **options: Any) -> FastAPI:
    """Return an app with a session that includes the router below each of the prefixes."""
    app = FastAPI(**options)
    app.add_middleware(SessionMiddleware, secret_key="secret-of-the-sessions")
    for prefix in prefixes:
        app.include_router(router, prefix=prefix)
    return app


def page(app: FastAPI | APIRouter, path: str, answer: str = "the app's own") -> None:
    """Add a page of the app."""

    @app.get(path)
    async def own() -> str:
        return answer


async def status(app: Any, path: str, method: str = "GET", **options: Any) -> tuple[int, str | None]:
    """Return the status of the response, and its ``Allow`` or ``Location`` header without the query."""
    visitor = Visitor(app, **options)
    response = await visitor.app.request(method, path)
    await visitor.aclose()
    allowed = response.headers.get("allow")
    location = response.headers.get("location")
    return response.status_code, allowed or (location and location.partition("?")[0])


async def matching_effort(app: FastAPI, path: str) -> Counter[str]:
    """Count how often each regular expression and each ``matches`` is called to answer the path."""
    counted: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "matches":
            counted["matches"] += 1
        elif event == "c_call" and isinstance(getattr(argument, "__self__", None), re.Pattern):
            counted[argument.__self__.pattern] += 1

    sys.setprofile(watch)
    try:
        assert await status(app, path) == (200, None)
    finally:
        sys.setprofile(None)
    return counted


def patterns(app: FastAPI) -> set[str]:
    """Return the regular expressions of our routes."""
    contexts = iter_route_contexts(app.routes)
    return {context.path_regex.pattern for context in contexts if (context.name or "").startswith("zaikio_")}


def names(app: FastAPI) -> list[tuple[str, str, str]]:
    """Return each of our routes that a walk over the app's routes finds."""
    return [
        (method, context.path or "", context.name or "")
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
        if (context.name or "").startswith("zaikio_")
    ]


@pytest.mark.parametrize("prefix", ["", "/zaikio", "/{tenant}/zaikio"])
def test_every_route_is_listed(zaikio: ZaikioOAuth, prefix: str) -> None:
    """Each route occurs once in a walk over the app's routes and in the OpenAPI schema."""
    app = app_with(zaikio.router, prefix)
    paths = app.openapi()["paths"]

    assert sorted(names(app)) == sorted((method, prefix + path, name) for method, path, name in TWICE)
    assert {(method.upper(), path) for path in paths for method in paths[path]} == {
        (method, prefix + path) for method, path, _ in TWICE
    }


def test_the_four_routers_together_have_every_route(zaikio: ZaikioOAuth) -> None:
    """An app that includes them one by one has the same routes."""
    app = FastAPI()
    for part in PARTS:
        app.include_router(getattr(zaikio, part), prefix="/zaikio")
    whole = app_with(zaikio.router, "/zaikio")

    assert names(app) == names(whole)
    assert app.openapi()["paths"] == whole.openapi()["paths"]


@pytest.mark.parametrize(("_", "path", "name"), sorted(ROUTES))
def test_every_route_name_gives_its_path(zaikio: ZaikioOAuth, _: str, path: str, name: str) -> None:
    """``url_path_for`` works with and without a client, and below a prefix with a parameter if that parameter is given."""
    app = app_with(zaikio.router, "/{tenant}/zaikio")

    assert app.url_path_for(name, tenant="a") == f"/a/zaikio{path}"
    assert app.url_path_for(name, tenant="a", client_name="kiosk") == f"/a/zaikio/kiosk{path}"
    with pytest.raises(NoMatchFound):
        app.url_path_for(name)


@pytest.mark.parametrize(("method", "path", "_"), sorted(ROUTES))
@pytest.mark.parametrize("client", ["", "/kiosk"])
async def test_a_wrong_method_gets_405(zaikio: ZaikioOAuth, method: str, path: str, _: str, client: str) -> None:
    """The response has an ``Allow`` header (RFC 9110 §15.5.6). None of our routes allows HEAD."""
    app = app_with(zaikio.router, "/zaikio")
    page(app, "/later")

    for wrong in {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"} - {method}:
        assert await status(app, f"/zaikio{client}{path}", wrong) == (405, method), wrong


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/zaikio/sessions/new", 302),
        ("/zaikio/warehouse/sessions/new", 302),
        ("/zaikio/%77arehouse/%73essions/new", 302),
        ("/zaikio/ware%2Fhouse/sessions/new", 404),
        ("/zaikio/nobody/sessions/new", 404),
        ("/zaikio/sessions/new/", 307),
        ("/zaikio/sessions%2Fnew", 302),
        ("/zaikio/sessions/New", 404),
        ("/zaikio/sessions", 404),
        ("/zaikio/sessions/new/more", 404),
        ("/zaikio/a/b/sessions/new", 404),
        ("/zaikio/xsessions/new", 404),
        ("/zaikio//sessions/new", 404),
        ("/sessions/new", 404),
        ("/zaikio/connections/new", 302),
        ("/zaikio/sessions/approve", 303),
        ("/zaikio/webhook", 405),
        ("/zaikio", 404),
        ("/", 404),
    ],
)
async def test_paths_match_as_in_a_plain_router(zaikio: ZaikioOAuth, path: str, answer: int) -> None:
    """This includes encoded paths, paths with an additional slash, and paths that are similar to ours."""
    ours, other = app_with(zaikio.router, "/zaikio"), app_with(plain(zaikio), "/zaikio")

    assert (await status(ours, path))[0] == answer
    assert await status(ours, path) == await status(other, path)


@pytest.mark.parametrize("path", ["/zaikio/sessions/new%0A", "/zaikio/webhook%0A"])
async def test_a_path_that_ends_with_a_line_feed_is_not_found(zaikio: ZaikioOAuth, path: str) -> None:
    """A plain router accepts it, because ``$`` also matches before a final line feed."""
    assert (await status(app_with(zaikio.router, "/zaikio"), path))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/me",
        "/blog/session",
        "/x/sessions/new",
        "/zaikio/me",
        "/zaikio/a/b/webhook",
        "/zaikio/new",
        "/a/{page}/session",
    ],
)
async def test_a_page_declared_after_our_router_is_found(zaikio: ZaikioOAuth, path: str) -> None:
    """This holds even if its path ends like one of ours, or starts with our prefix."""
    app = app_with(zaikio.router, "/zaikio")
    page(app, path)

    assert await status(app, path.replace("{page}", "b")) == (200, None)


async def test_the_route_that_is_declared_first_is_used(zaikio: ZaikioOAuth) -> None:
    """A page declared before our router hides our route, and our route hides a page declared later."""
    app = app_with(zaikio.router)
    page(app, "/zaikio/connections/new")
    app.include_router(zaikio.router, prefix="/zaikio")
    page(app, "/zaikio/sessions/new")

    assert (await status(app, "/zaikio/connections/new"))[0] == 200
    assert (await status(app, "/zaikio/sessions/new"))[0] == 302


async def test_the_app_can_use_another_method_of_our_path(zaikio: ZaikioOAuth) -> None:
    """A wrong method gets HTTP 405 only if no later page allows it."""
    app = app_with(zaikio.router, "/zaikio")
    page(app, "/zaikio/session")

    assert (await status(app, "/zaikio/session"))[0] == 200
    assert await status(app, "/zaikio/session", "PUT") == (405, "DELETE")


async def test_prefixes_and_nested_routers_work(zaikio: ZaikioOAuth) -> None:
    """Prefixes, parameters, tags and dependencies of the routers add up."""

    async def only_members(tenant: str, request: Request) -> None:
        if "x-member" not in request.headers:
            raise HTTPException(403)

    inner, outer = APIRouter(prefix="/auth"), APIRouter()
    inner.include_router(zaikio.router, prefix="/zaikio", tags=["inner"])
    outer.include_router(inner, prefix="/{tenant}", dependencies=[Depends(only_members)])
    app = app_with(zaikio.router, "/one", "/two")
    app.include_router(outer, prefix="/x")
    page(app, "/x/later")

    for prefix in ("/one", "/two"):
        assert (await status(app, f"{prefix}/sessions/new"))[0] == 302
    assert (await status(app, "/x/a/auth/zaikio/sessions/new"))[0] == 403
    assert (await status(app, "/x/a/auth/zaikio/kiosk/sessions/new", headers={"x-member": "yes"}))[0] == 302
    assert (await status(app, "/x/later"))[0] == 200
    assert app.openapi()["paths"]["/x/{tenant}/auth/zaikio/webhook"]["post"]["tags"] == ["inner", "zaikio"]


async def test_mounts_and_a_root_path_work(zaikio: ZaikioOAuth) -> None:
    """The app can be mounted in another one or be behind a proxy, and our router can be mounted as an app."""
    app = app_with(zaikio.router, "/zaikio")
    page(app, "/sessions/new")
    outer = Mount("/products", app=app)
    mounted = app_with(zaikio.router)
    mounted.mount("/auth", zaikio.router)

    assert (await status(outer, "/products/zaikio/sessions/new"))[0] == 302
    assert await status(outer, "/products/zaikio/session", "PUT") == (405, "DELETE")
    assert (await status(outer, "/products/sessions/new"))[0] == 200
    assert (await status(app, "/behind/zaikio/sessions/new", root_path="/behind"))[0] == 302
    assert (await status(app_with(zaikio.router, ""), "/sessions/new", root_path="/sessions/new"))[0] == 404
    assert await status(mounted, "/auth/session", "PUT") == (405, "DELETE")


async def test_a_route_added_to_our_router_is_found(zaikio: ZaikioOAuth) -> None:
    """The app can add a page or another router at any time, unless FastAPI has copied our routes by then."""
    app = app_with(zaikio.router, "/zaikio")
    assert (await status(app, "/zaikio/extra"))[0] == 404
    page(zaikio.router, "/extra")
    assert (await status(app, "/zaikio/extra"))[0] == ADDED_LATER
    more = APIRouter()
    page(more, "/deep/er")
    zaikio.router.include_router(more)
    assert (await status(app, "/zaikio/deep/er"))[0] == ADDED_LATER
    assert (await status(app_with(zaikio.router, "/zaikio"), "/zaikio/deep/er"))[0] == 200


async def test_a_route_with_a_variable_end_is_found_in_our_router(zaikio: ZaikioOAuth) -> None:
    """The app can add a mounted app, or a path that ends with a parameter; a FastAPI that copies leaves out the app."""
    app = app_with(zaikio.router, "/zaikio")
    files = FastAPI()
    page(files, "/a/b")
    zaikio.webhook_router.mount("/files", files)
    page(zaikio.router, "/{thing}")
    app.include_router(zaikio.webhook_router, prefix="/hooks")

    assert (await status(app, "/zaikio/anything"))[0] == ADDED_LATER
    assert (await status(app_with(zaikio.router, "/zaikio"), "/zaikio/anything"))[0] == 200
    assert (await status(app, "/hooks/files/a/b"))[0] == ADDED_LATER


@pytest.mark.parametrize("path", ["/me", "/items/new", "/zaikio/me", "/zaikio/sessions/newer", "/a/webhooks"])
async def test_a_page_of_the_app_tries_none_of_our_expressions(zaikio: ZaikioOAuth, path: str) -> None:
    """Our router is tried once and its routes are not, so the cost does not grow with their number."""
    without = app_with(zaikio.router)
    page(without, path)
    app = app_with(zaikio.router, "/zaikio")
    page(app, path)
    await matching_effort(app, path)  # FastAPI prepares an included router at its first request.

    counted = await matching_effort(app, path)

    assert {pattern for pattern in counted if pattern in patterns(app)} == set()
    # FastAPI's own object for the inclusion, and our router.
    tries = len(TWICE) if ROUTES_ARE_COPIED else 2
    assert counted["matches"] - (await matching_effort(without, path))["matches"] <= tries


async def test_the_counting_notices_a_plain_router(zaikio: ZaikioOAuth) -> None:
    """The test above would fail for a plain router, which tries every one of its expressions."""
    app = app_with(plain(zaikio), "/zaikio")
    page(app, "/me")

    assert {
        pattern: times for pattern, times in (await matching_effort(app, "/me")).items() if pattern in patterns(app)
    } == (dict.fromkeys(patterns(app), 1))
    assert len(patterns(app)) == len(TWICE)
