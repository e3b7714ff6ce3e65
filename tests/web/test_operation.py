"""What an app's OpenAPI document says of our routes and dependencies."""

import hmac
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from starlette.middleware.sessions import SessionMiddleware

from tests.apps import small_app
from tests.data import SECRET, some_client
from tests.versions import SCOPES_ARE_NOT_IN_OPENAPI
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, BearerToken, HubEvent, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

SNAPSHOT = Path(__file__).parent / "openapi.json"
NAMES = {
    "zaikio_new_session",
    "zaikio_approve_session",
    "zaikio_destroy_session",
    "zaikio_delete_session_form",
    "zaikio_new_connection",
    "zaikio_approve_connection",
    "zaikio_new_subscription",
    "zaikio_webhook",
}


def app_with(zaikio: ZaikioOAuth, *prefixes: str, **options: Any) -> FastAPI:
    """Return an app that includes all our routes below each of the prefixes, and has some of its own."""
    app = FastAPI(title="Bogenlager", version="1", **options.pop("app", {}))
    app.add_middleware(SessionMiddleware, secret_key="secret-of-the-sessions")
    for prefix in prefixes:
        app.include_router(zaikio.router, prefix=prefix, **options)

    @app.get("/sites", responses=zaikio.current_access_token.responses)
    async def sites(
        token: Annotated[AccessToken, Security(zaikio.current_access_token, scopes=["zaikio.sites.r"])],
    ) -> str:
        return token.bearer_id

    @app.get("/catalog", responses=zaikio.bearer_token.responses)
    async def catalog(
        token: Annotated[BearerToken, Security(zaikio.bearer_token, scopes=["bogenlager.catalog.r"])],
    ) -> str:
        return token.subject_id

    return app


def ids(document: dict[str, Any]) -> list[str]:
    """Return the id of every operation of our tag."""
    return [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
        if "zaikio" in operation.get("tags", [])
    ]


@pytest.mark.skipif(SCOPES_ARE_NOT_IN_OPENAPI, reason="the document of older versions differs")
def test_the_document_changes_only_on_purpose(zaikio: ZaikioOAuth) -> None:
    """Clients are generated from it. ZAIKIO_TEST_UPDATE=1 writes the file anew; then read the difference."""
    document = json.dumps(app_with(zaikio, "/zaikio").openapi(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("ZAIKIO_TEST_UPDATE"):
        SNAPSHOT.write_text(document)

    assert json.loads(document) == json.loads(SNAPSHOT.read_text())


def test_operations_have_the_names_of_their_routes(zaikio: ZaikioOAuth) -> None:
    """Those with the client in the path have an addition."""
    assert sorted(ids(app_with(zaikio, "/zaikio").openapi())) == sorted(NAMES | {f"{name}_of_client" for name in NAMES})


def test_operation_ids_are_unique_below_every_prefix(
    zaikio: ZaikioOAuth, make_settings: Callable[..., Settings]
) -> None:
    """Also with a second ZaikioOAuth, in any order and in nested routers; FastAPI warns of duplicates, which is an error."""
    app = app_with(zaikio, "/auth", "", "/zaikio", "/{tenant}/zaikio")
    outer = APIRouter(prefix="/outer")
    outer.include_router(ZaikioOAuth(make_settings()).router, prefix="/zaikio")
    app.include_router(outer)
    found = ids(app.openapi())

    assert len(found) == len(set(found)) == 5 * 2 * len(NAMES)
    for suffix in ("", "_at_auth", "_without_prefix", "_at_tenant_zaikio", "_at_outer_zaikio"):
        assert {f"zaikio_webhook{suffix}", f"zaikio_webhook_of_client{suffix}"} <= set(found)


def test_the_apps_own_ids_do_not_change_ours(zaikio: ZaikioOAuth) -> None:
    """FastAPI's documentation recommends a function that would name both forms of a route alike."""
    app = app_with(zaikio, "/zaikio", app={"generate_unique_id_function": lambda route: route.name})

    assert set(ids(app.openapi())) >= NAMES
    assert app.openapi()["paths"]["/sites"]["get"]["operationId"] == "sites"


async def test_fastapis_switch_hides_our_routes(zaikio: ZaikioOAuth) -> None:
    """They work all the same, and the security schemes of the app's own routes stay."""
    app = app_with(zaikio, "/zaikio", include_in_schema=False)
    document = app.openapi()

    assert set(document["paths"]) == {"/sites", "/catalog"}
    assert set(document["components"]["securitySchemes"]) == {"zaikio_session", "zaikio_bearer"}
    visitor = Visitor(app)
    assert (await visitor.get("/zaikio/sessions/new")).status_code == 302
    await visitor.aclose()


def test_what_a_dependency_answers_can_be_documented_once_for_a_router(zaikio: ZaikioOAuth) -> None:
    """The app may change what it got."""
    responses = zaikio.current_access_token.responses
    responses[401]["description"] = "Log in first."
    router = APIRouter(responses=responses)

    @router.get("/page")
    async def page(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> None: ...

    app = FastAPI()
    app.include_router(router)
    described = app.openapi()["paths"]["/page"]["get"]["responses"]
    assert set(described) == {"200", "303", "401", "403", "503"}
    assert described["401"]["description"] == "Log in first."
    assert zaikio.current_access_token.responses[401]["description"] == "Nobody is logged in."


# --- every status that is documented, and no other -------------------------------------------------------------

SCOPES = ["zaikio.person.r"]
CLIENTS: dict[str, Any] = {
    "warehouse": some_client(webhook_secret=SECRET),
    # It has neither organization scopes nor a webhook.
    "bare": {"client_id": "kiosk-id", "client_secret": SECRET, "default_scopes": SCOPES},
    # Its scopes do not fit into a cookie.
    "large": {"client_id": "kiosk-id", "default_scopes": [f"app.scope_{number:025}.r" for number in range(150)]},
}
CLIENTS["large"]["organization_scopes"] = CLIENTS["large"]["default_scopes"]


async def statuses_of_starts(visitor: Visitor, hub: LocalHub, method: str, path: str) -> set[int]:
    """Return the statuses of a start, of one with malformed parameters, of one that is too long and of a prefetch."""
    answers = [
        await visitor.get(path),
        await visitor.get(path, headers={"Sec-Purpose": "prefetch"}),
        await visitor.get(path, params={"redirect_uri": f"http://testserver/{'x' * 4000}"}),
        await visitor.get(path, params={"organization_id": "a.b"}),
    ]
    return {answer.status_code for answer in answers}


async def statuses_of_callbacks(visitor: Visitor, hub: LocalHub, method: str, path: str) -> set[int]:
    """Return the statuses of a callback that starts again and of one that succeeds."""
    hub.fail("authorization_code", status=400, body={"error": "invalid_grant"}, times=1)
    answers = [await visitor.log_in(path.replace("approve", "new")) for _ in range(2)]
    return {answer.status_code for answer in answers}


async def statuses_of_deliveries(visitor: Visitor, hub: LocalHub, method: str, path: str) -> set[int]:
    """Return the statuses of events that are good, malformed, too large, failing and forged."""
    found = {(await visitor.app.post(path, content=b"{}")).status_code}
    for body in (b'{"name": "app.works"}', b"[]", b"x" * 70_000, b'{"name": "app.fails"}'):
        signature = hmac.new(SECRET.encode(), body, sha256).hexdigest()
        answer = await visitor.app.post(path, content=body, headers={"X-Loom-Signature": signature})
        found.add(answer.status_code)
    return found


async def statuses_of_logouts(visitor: Visitor, hub: LocalHub, method: str, path: str) -> set[int]:
    """Return the statuses of a logout by the app and by another site."""
    foreign = {"Sec-Fetch-Site": "cross-site"}
    answers = [await visitor.app.request(method, path, headers=headers) for headers in ({}, foreign)]
    return {answer.status_code for answer in answers}


SITUATIONS = {
    "new": statuses_of_starts,
    "approve": statuses_of_callbacks,
    "webhook": statuses_of_deliveries,
    "session": statuses_of_logouts,
    "delete": statuses_of_logouts,
}


@pytest.mark.parametrize("named", [False, True])
async def test_each_route_documents_the_statuses_that_it_has(
    make_settings: Callable[..., Settings], hub: LocalHub, named: bool
) -> None:
    """No more and no fewer, for the default client and for one in the path: each of them is seen."""
    hub.auto_consent(person_id=hub.people[0].id)

    def on_event(event: HubEvent) -> None:
        if event.name == "app.fails":
            raise ValueError(event.name)

    seen: dict[tuple[str, str], set[str]] = {}
    async with ZaikioOAuth(make_settings(clients=CLIENTS), on_event=on_event) as zaikio:
        visitor = Visitor(small_app(zaikio))
        paths = (await visitor.get("/openapi.json")).json()["paths"]
        described = {
            (method.upper(), path): set(operation["responses"])
            for path, operations in paths.items()
            for method, operation in operations.items()
            if path.startswith("/zaikio/") and ("{client_name}" in path) == named
        }
        for client in [*CLIENTS, *(["nobody"] if named else [])]:
            if not named:
                zaikio.configure(make_settings(clients=CLIENTS, default_client=client), on_event=on_event)
            for method, path in described:
                real = path.replace("{client_name}", client)
                if client == "warehouse":
                    found = await SITUATIONS[path.rpartition("/")[2]](visitor, hub, method, real)
                else:
                    found = {(await visitor.app.request(method, real)).status_code}
                seen.setdefault((method, path), set()).update(map(str, found))
        await visitor.aclose()
    assert seen == described
    assert len(seen) == len(NAMES)
