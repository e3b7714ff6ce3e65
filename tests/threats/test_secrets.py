"""No secret is shown anywhere: every flow is run, well and badly, with all that a program can show being searched.

Shown are the log at DEBUG (of every library), spans, tracebacks with the locals of each frame as Python and rich print
them, ``repr``, ``str``, JSON, pickled errors, warnings, responses and cookies, and the output of commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Any

import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI, Security
from pydantic import SecretStr
from sqlalchemy import text

from tests.apps import small_app
from tests.data import ORGANIZATION_ID
from tests.inside import engine_of
from tests.threats.sight import SecretsOnTheWire, Sight, everything_in_sight
from tests.visitor import BASE_URL, Visitor
from zaikio_oauth import BearerToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

CLIENT_SECRET, WEBHOOK_SECRET = "marked-client-secret-0001", "marked-webhook-secret-0002"
PASSWORD, KIOSK = "marked-database-password-0003", "kiosk-id"
KEYS = [Fernet.generate_key().decode() for _ in range(2)]
SCOPES = ["zaikio.delegations.rw", "zaikio.sites.r", "zaikio.organization.r"]
OF_SETTINGS = {
    CLIENT_SECRET: "client secret",
    WEBHOOK_SECRET: "webhook secret",
    PASSWORD: "database password",
    KEYS[0]: "encryption key",
    KEYS[1]: "encryption key",
}
CLIENTS = {
    "warehouse": {
        "client_id": "warehouse-id",
        "client_secret": CLIENT_SECRET,
        "default_scopes": ["zaikio.person.r"],
        "organization_scopes": ["zaikio.organization.r"],
        "webhook_secret": WEBHOOK_SECRET,
    },
    "kiosk": {"client_id": KIOSK, "default_scopes": ["zaikio.person.r"]},
}


@pytest.fixture
def hub() -> LocalHub:
    """Return a Hub on which everybody grants everything."""
    hub = LocalHub(
        apps=[
            HubApp.for_client("warehouse", "warehouse-id", CLIENT_SECRET, base_urls=[BASE_URL]),
            HubApp.for_client("kiosk", KIOSK, None, base_urls=[BASE_URL]),
        ]
    )
    hub.device_interval = 1
    hub.auto_consent(person_id=hub.people[0].id)
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, SCOPES)
    return hub


@pytest.fixture
def wire(hub: LocalHub) -> SecretsOnTheWire:
    """Return that Hub as one that notes every secret that passes."""
    return SecretsOnTheWire(hub)


@pytest.fixture
def hub_url(wire: SecretsOnTheWire) -> Iterator[str]:
    """Yield its address."""
    with HubServer(wire) as server:
        yield server.url


@pytest.fixture
def settings(make_settings: Callable[..., Settings], database_url: str) -> Settings:
    """Return settings of which everything that is secret is marked."""
    url = database_url.replace("zaikio@", f"zaikio:{PASSWORD}@")
    return make_settings(encryption_keys=[KEYS[0]], clients=CLIENTS, database_url=url, auto_migrate=True)


@pytest.fixture
async def zaikio(settings: Settings) -> AsyncIterator[ZaikioOAuth]:
    """Yield an open ZaikioOAuth."""
    async with ZaikioOAuth(settings) as opened:
        yield opened


def app_of(zaikio: ZaikioOAuth) -> FastAPI:
    """Return the small app with an API for other apps."""
    app = small_app(zaikio)

    async def api(token: BearerToken) -> BearerToken:
        return token

    api.__annotations__["token"] = Annotated[BearerToken, Security(zaikio.bearer_token)]
    app.get("/api")(api)
    return app


async def every_web_flow(sight: Sight, zaikio: ZaikioOAuth, hub: LocalHub, wire: SecretsOnTheWire) -> None:
    """Log in, be seen, connect, present a bearer token, deliver an event, fail to log in, and log out."""
    visitor = Visitor(app_of(zaikio))
    for path in ("/zaikio/sessions/new", "/zaikio/connections/new", "/zaikio/kiosk/sessions/new"):
        started = await sight.response(path, visitor.get(path))
        callback = await visitor.consent(started.headers["location"])
        await sight.response(f"{path}, callback", visitor.get(callback))
        await sight.response(f"{path}, callback again", visitor.get(callback))
    for path in ("/me", "/sites", "/maybe", "/"):
        await sight.response(path, visitor.get(path))
    token = next(secret for secret, kind in wire.secrets.items() if kind == "access_token of a response")
    presented = hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r")
    wire.note("bearer token", presented)
    for header in (presented, presented[:-9], token, f"{presented}.{presented}", f"{presented} "):
        await sight.response("/api", visitor.get("/api", headers={"Authorization": f"Bearer {header}"}))
    body, headers = hub.webhook_event("no-such-token", WEBHOOK_SECRET)
    await sight.response("webhook", visitor.app.post("/zaikio/webhook", content=body, headers=headers))
    await sight.response("webhook, forged", visitor.app.post("/zaikio/webhook", content=body + b" ", headers=headers))
    for fault in ({"status": 400, "body": {"error": "invalid_client"}}, {"broken_json": True}, {"status": 500}):
        hub.fail("authorization_code", **fault)
        await sight.response("failing login", visitor.log_in("/zaikio/kiosk/sessions/new"))
        hub.clear_faults()
        await sight.response("its error", visitor.get("/"))
    await sight.response("logout", visitor.app.post("/zaikio/session/delete"))
    await visitor.aclose()


async def every_call(sight: Sight, zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Make every call of the public face, and each of them again when the Hub fails in one way or another."""
    organization: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    token = await sight.attempt("get_access_token", zaikio.get_access_token(**organization, scopes=SCOPES))
    await sight.attempt("find_usable_access_token", zaikio.find_usable_access_token(**organization))
    await sight.attempt("find_active_access_token", zaikio.find_active_access_token(token.id))
    await sight.attempt("verify_bearer_token", zaikio.verify_bearer_token(token.token))
    await sight.attempt("verify_bearer_token, cut", zaikio.verify_bearer_token(token.token[:-1]))
    await sight.attempt("delegate", zaikio.delegate(token, client_id=KIOSK, scopes=["zaikio.sites.r"]))
    device = await sight.attempt("device", zaikio.start_device_authorization(client_name="kiosk"))
    hub.approve_device(device.user_code, hub.people[0].id)
    of_device = await sight.attempt("wait for the device", device.wait())
    renewed = await sight.attempt("refresh", zaikio.refresh(of_device))
    hub.rate_limit("/oauth", reset_in=3600, times=None)
    await failing_calls(sight, "429", zaikio, token, renewed)
    bodies = {
        "refused": {"error": "invalid_client"},
        "broken": "{",
        "odd": {"access_token": "x" * 99, "bearer": {"id": 7}},
    }
    for why, body in bodies.items():
        hub.clear_faults()
        hub.fail("/", times=None, status=400 if why == "refused" else 200, body=body)
        await failing_calls(sight, why, zaikio, token, renewed)
    hub.clear_faults()
    await sight.attempt("revoke", zaikio.revoke(renewed))
    await sight.attempt("cleanup", zaikio.cleanup_access_tokens())
    await sight.attempt("rotation", zaikio.rotate_encryption_keys())


async def failing_calls(sight: Sight, why: str, zaikio: ZaikioOAuth, token: Any, renewed: Any) -> None:
    """Make each call that needs the Hub."""
    await sight.attempt(f"refresh, {why}", zaikio.refresh(renewed))
    await sight.attempt(f"delegate, {why}", zaikio.delegate(token, client_id=KIOSK, scopes=["zaikio.sites.r"]))
    await sight.attempt(f"device, {why}", zaikio.start_device_authorization(client_name="kiosk"))
    credentials = zaikio.get_access_token(bearer_type="Organization", bearer_id="other", scopes=SCOPES)
    await sight.attempt(f"client credentials, {why}", credentials)


async def test_no_flow_shows_a_secret(zaikio: ZaikioOAuth, hub: LocalHub, wire: SecretsOnTheWire) -> None:
    """Whatever happens at the Hub, no secret is in anything that is shown."""
    with everything_in_sight() as sight:
        await every_web_flow(sight, zaikio, hub, wire)
        await every_call(sight, zaikio, hub)
        sight.show("repr", [zaikio, zaikio.settings, str(zaikio.settings), zaikio.settings.model_dump_json()])

    assert {"access_token of a response", "code of a request", "code_verifier of a request"} < set(
        wire.secrets.values()
    )
    assert {"refresh_token of a request", "device_code of a request", "client_secret"} < set(wire.secrets.values())
    assert len(sight.errors) > 10
    leaks = sight.found(wire.secrets | OF_SETTINGS)
    assert leaks == [], "\n".join(leaks)


async def test_an_error_of_the_database_shows_no_secret(
    hub: LocalHub, wire: SecretsOnTheWire, make_settings: Callable[..., Settings]
) -> None:
    """Its statements have tokens as parameters, and its address has a password."""
    organization: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    nowhere = make_settings(database_url=f"postgresql://zaikio:{PASSWORD}@127.0.0.1:1/none")
    async with ZaikioOAuth(make_settings(encryption_keys=KEYS, clients=CLIENTS)) as zaikio:
        token = await zaikio.get_access_token(**organization)
        device = await zaikio.start_device_authorization()
        hub.approve_device(device.user_code, hub.people[0].id)
        visitor = Visitor(app_of(zaikio))
        callback = await visitor.consent(await visitor.start())
        async with (await engine_of(zaikio)).connect() as connection:
            await connection.execute(text("ALTER TABLE zaikio_access_tokens RENAME TO elsewhere"))

        with everything_in_sight() as sight:
            await asyncio.gather(
                sight.attempt("find", zaikio.find_active_access_token(token.id)),
                sight.attempt("get", zaikio.get_access_token(**organization, valid_for=7200)),
                sight.attempt("revoke", zaikio.revoke(token)),
                sight.attempt("device", device.wait()),
                sight.attempt("no server", ZaikioOAuth(nowhere).__aenter__()),
                sight.response("callback", visitor.get(callback)),
            )
        await visitor.aclose()

    assert len(sight.errors) >= 4
    leaks = sight.found(wire.secrets | OF_SETTINGS)
    assert leaks == [], "\n".join(leaks)


async def test_an_undecryptable_row_shows_no_secret(zaikio: ZaikioOAuth, settings: Settings) -> None:
    """Neither the keys that were tried nor the ciphertext."""
    token = await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    other = settings.model_copy(update={"encryption_keys": (SecretStr(KEYS[1]),)})
    async with ZaikioOAuth(other) as without_the_key:
        with everything_in_sight() as sight:
            await sight.attempt("find", without_the_key.find_active_access_token(token.id))
            await sight.attempt("rotate", without_the_key.rotate_encryption_keys())

    assert sight.errors == ["find: DecryptionError", "rotate: DecryptionError"]
    assert sight.found(OF_SETTINGS | {"gAAAAA": "ciphertext"}) == []


@pytest.mark.parametrize(
    "wrong", [{"encryption_keys": [KEYS[0], "marked-no-key-0004"]}, {"base_url": "no address"}, {"x": 1}]
)
async def test_wrong_settings_show_no_secret(make_settings: Callable[..., Settings], wrong: dict[str, Any]) -> None:
    """The error names each variable, and no value."""
    url = f"postgresql://zaikio:{PASSWORD}@localhost/app"
    make = partial(make_settings, **{"clients": CLIENTS, "database_url": url, "encryption_keys": KEYS} | wrong)
    with everything_in_sight() as sight:
        await sight.attempt("settings", asyncio.to_thread(make))

    assert sight.errors == ["settings: ConfigurationError"]
    ours = [(where, shown) for where, shown in sight.seen if "traceback" not in where]
    sight.seen = ours
    assert sight.found(OF_SETTINGS | {"marked-no-key-0004": "malformed key"}) == []
