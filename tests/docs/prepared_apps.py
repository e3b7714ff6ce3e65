"""What the other examples in docstrings need before they are run, and what they have done afterwards."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import Request, Security
from fastapi.templating import Jinja2Templates
from starlette.testclient import TestClient

from tests.app_server import AppServer
from tests.data import ORGANIZATION_ID, OTHER_KEY, PERSON_ID
from tests.docs.docstring_reader import Reader, prepares
from tests.docs.world import LOOM_SECRET
from tests.visitor import Visitor
from zaikio_oauth import (
    InvalidGrantError,
    Settings,
    configure,
    current_access_token,
    get_access_token,
    migrations,
    refresh,
    zaikio_router,
)
from zaikio_oauth.application import default
from zaikio_oauth.testing import logged_in_as

# --- settings and the database ------------------------------------------------------------------------------


@prepares("settings.settings.Settings")
async def _settings(reader: Reader) -> None:
    await reader.run()
    assert default.settings is reader.names["settings"]


@prepares("settings.retries_and_waits.Deadline")
async def _deadline(reader: Reader) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"read")
    stream.feed_eof()
    await reader.run(stream=stream)
    assert reader.names["data"] == b"read"


@prepares("store.app_migrations.include_name", "store.app_migrations.process_revision_directives")
async def _alembic_context(reader: Reader) -> None:
    context = EnvironmentContext(Config(), ScriptDirectory("."))
    metadata, engine = sqlalchemy.MetaData(), sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        await reader.run(context=context, connection=connection, metadata=metadata)
        options = context.get_context().opts
    engine.dispose()
    assert options["include_name"] is migrations.include_name
    directives = migrations.process_revision_directives if reader.example.name.endswith("directives") else None
    assert options["process_revision_directives"] is directives


@prepares("store.app_migrations.version_location")
async def _version_location(reader: Reader) -> None:
    Path("alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    Path("migrations").mkdir()
    await reader.run()
    scripts = ScriptDirectory.from_config(reader.names["config"])
    assert len(scripts.get_heads()) == 1
    assert scripts.version_locations == ["versions", migrations.version_location()]


# --- connections and jobs -----------------------------------------------------------------------------------


async def _lose_a_connection(reader: Reader) -> None:
    token = await reader.token(scopes="Org.zaikio.organization.r")
    reader.hub.spend_refresh_tokens()
    with pytest.raises(InvalidGrantError):
        await refresh(token)


@prepares("tokens.connection.Connection")
async def _connection(reader: Reader) -> None:
    await _lose_a_connection(reader)
    await reader.run()
    assert reader.output == [f"{ORGANIZATION_ID} has to connect again"]


@prepares("tokens.maintenance.Maintenance.connections")
async def _connections(reader: Reader) -> None:
    await _lose_a_connection(reader)
    await reader.run()
    (line,) = reader.output
    assert line.startswith(f"{ORGANIZATION_ID} lost ")
    assert reader.names["lost"] == [ORGANIZATION_ID]


@prepares("tokens.maintenance.Maintenance.keep_alive", "tokens.maintenance.Maintenance.cleanup_access_tokens")
async def _scheduled(reader: Reader) -> None:
    scheduler = AsyncIOScheduler()
    await reader.run(scheduler=scheduler)
    jobs = scheduler.get_jobs()
    assert jobs
    assert [await job.func(*job.args, **job.kwargs) for job in jobs] == [0] * len(jobs)


@prepares("tokens.maintenance.Maintenance.rotate_encryption_keys")
async def _rotate_encryption_keys(reader: Reader) -> None:
    await reader.token()
    configure(Settings(encryption_keys=[OTHER_KEY, reader.names["key"]]))
    await reader.run()
    assert reader.names["count"] == 1


@prepares("tokens.telemetry.TokenEvent")
async def _token_event(reader: Reader) -> None:
    counted: list[tuple[str, int]] = []
    await reader.run(metrics=SimpleNamespace(count=lambda *event: counted.append(event)))
    await get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    assert counted == [("obtained", 1)]


@prepares("hub.event.HubEvent")
async def _hub_event(reader: Reader) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    await reader.run(queue=queue)
    reader.app.include_router(zaikio_router, prefix="/zaikio")
    body, headers = reader.hub.event("zaikio.connection_changed", LOOM_SECRET, subject_id=ORGANIZATION_ID)
    await reader.visit("/zaikio/webhook", "POST", content=body, headers=headers)
    assert queue.get_nowait() == ORGANIZATION_ID


# --- pages and APIs -----------------------------------------------------------------------------------------


@prepares("resource_server.bearer_token.BearerToken", "web.bearer_dependency.BearerDependency")
async def _bearer_dependency(reader: Reader) -> None:
    await reader.run()
    assert (await reader.call("/catalog", "my_app.catalog.r")).json() == {"catalog of": PERSON_ID}
    assert (await reader.call("/catalog", "zaikio.person.r")).status_code == 403


@prepares("web.bearer_dependency.BearerDependency.of")
async def _bearer_dependency_of(reader: Reader) -> None:
    await reader.run()
    assert (await reader.call("/orders", "Org.zaikio.organization.r", "POST")).status_code == 200
    assert (await reader.call("/orders", "zaikio.person.r", "POST")).status_code == 403


@prepares("web.bearer_dependency.BearerDependency.responses", "web.dependencies.CurrentAccessToken.responses")
async def _responses(reader: Reader) -> None:
    await reader.run()
    (path,) = reader.app.openapi()["paths"].values()
    assert {"401", "403", "503"} <= path["get"]["responses"].keys()


@prepares("web.dependencies.CurrentAccessToken")
async def _current_access_token(reader: Reader) -> None:
    await reader.run()
    assert (await reader.visit("/sites")).status_code == 401
    reader.setenv("ZAIKIO_ENVIRONMENT", "test")
    configure()
    client = TestClient(reader.app)
    logged_in_as(client, PERSON_ID, scopes=["zaikio.person.r"])
    assert client.get("/sites").status_code == 403


@prepares("web.dependencies.OptionalAccessToken")
async def _optional_access_token(reader: Reader) -> None:
    await reader.run()
    assert (await reader.visit("/")).json() == {"logged in": False}


async def _page_after_a_failed_login(reader: Reader) -> str:
    """Return what the app's first page shows then."""
    reader.app.include_router(zaikio_router, prefix="/zaikio")
    visitor = Visitor(reader.app)
    state = httpx.URL(await visitor.start()).params["state"]
    await visitor.get("/zaikio/sessions/approve", params={"error": "server_error", "state": state})
    page = await visitor.get("/")
    await visitor.aclose()
    return page.text


@prepares("web.session.LoginError")
async def _login_error_of_a_page(reader: Reader) -> None:
    Path("login.html").write_text("<p>{{ message }}</p>")

    @reader.app.get("/")
    async def home(request: Request) -> Any:
        return await reader.run(request=request, templates=Jinja2Templates("."))

    assert re.fullmatch(r"<p>[A-Z].*\.</p>", await _page_after_a_failed_login(reader))


@prepares("web.session.login_error")
async def _login_error(reader: Reader) -> None:
    await reader.run()
    assert re.fullmatch(r'{"failed":"[A-Z].*\."}', await _page_after_a_failed_login(reader))


# --- tests of apps ------------------------------------------------------------------------------------------


@prepares("testing.local_hub.hub.LocalHub")
async def _local_hub(reader: Reader) -> None:
    await reader.run(settings=Settings())
    async with reader.names["client"] as client:
        assert (await client.get("/")).status_code == 200


@prepares("testing.local_hub.hub_server.HubServer")
async def _hub_server(reader: Reader) -> None:
    await reader.run()
    assert default.settings.host == reader.names["server"].url


@prepares("testing.local_hub.state.directory.HubOrganization")
async def _hub_organization(reader: Reader) -> None:
    await reader.run()
    assert [each.name for each in reader.hub.organizations] == ["Printing House"]


@prepares("testing.local_hub.state.hub_state.HubState.event", "testing.local_hub.state.hub_state.HubState.fire_event")
async def _fire_event(reader: Reader) -> None:
    heard: list[str | None] = []
    reader.setenv("ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET", "the secret")
    configure(on_event=lambda event: heard.append(event.subject_id))
    reader.app.include_router(zaikio_router, prefix="/zaikio")
    with AppServer(reader.app) as server, httpx.Client(base_url=server.url) as client:
        await reader.run(app_url=server.url, client=client)
    assert heard == [ORGANIZATION_ID]


@prepares("testing.local_hub.state.hub_state.HubState.fail")
async def _fail(reader: Reader) -> None:
    await reader.run()
    for _ in range(2):
        answer = httpx.post(f"{reader.hub_url}/oauth/access_token", data={"grant_type": "refresh_token"})
        assert answer.status_code == 503


@prepares("testing.virtual_session.logged_in_as")
async def _logged_in_as(reader: Reader) -> None:
    reader.setenv("ZAIKIO_ENVIRONMENT", "test")

    @reader.app.get("/sites", dependencies=[Security(current_access_token, scopes=["zaikio.sites.r"])])
    async def sites() -> None: ...

    await reader.run(client=TestClient(reader.app))


@prepares("testing.virtual_session.session_cookie")
async def _session_cookie(reader: Reader) -> None:
    added: list[dict[str, Any]] = []
    await reader.run(context=SimpleNamespace(add_cookies=added.extend))
    assert [(cookie["name"], cookie["url"]) for cookie in added] == [("session", "http://localhost:8000")]
