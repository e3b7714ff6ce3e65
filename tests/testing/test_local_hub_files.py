"""The files of a local Hub: the people whom it knows, and the state that survives a restart."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.apps import small_app
from tests.cli.test_commands import COMMAND, environment, run
from tests.data import KEY, ORGANIZATION_ID, PERSON_ID, SECRET, some_client
from tests.visitor import BASE_URL, Visitor
from zaikio_oauth import ConfigurationError, InvalidGrantError, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

PERSON = {"id": "anna", "first_name": "Anna", "name": "A", "email": "anna@printer.example"}


def kept_hub(path: Path, **options: Any) -> LocalHub:
    """Return a Hub with this state file, whose person consents to everything."""
    apps = [HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL])]
    return LocalHub(apps, auto_consent=PERSON_ID, state_file=path, **options)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_restart_logs_nobody_out(tmp_path: Path) -> None:
    """Tokens verify and refresh as before, what is used or revoked stays so, and whoever has signed up is there."""
    path, port = tmp_path / "state.json", free_port()
    settings = Settings(
        host=f"http://127.0.0.1:{port}",
        database_url=f"sqlite:///{tmp_path}/app.db",
        encryption_keys=[KEY],
        clients={"warehouse": some_client()},
        cache_ttl=0,
    )
    async with ZaikioOAuth(settings) as zaikio:
        visitor = Visitor(small_app(zaikio))
        with HubServer(kept_hub(path), port=port) as server:
            await visitor.log_in()
            token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
            assert token is not None
            renewed = await zaikio.refresh(token)
            other = Visitor(small_app(zaikio))
            await other.log_in()
            await other.app.delete("/zaikio/session")
            newcomer = server.hub.add_person("Nia", "New", "nia@new.example")
            httpx2.get(server.url)
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.glob(".state*")) == []

        again = kept_hub(path)
        with HubServer(again, port=port) as server:
            verified = await zaikio.verify_bearer_token(renewed.token)
            assert verified.subject_id == PERSON_ID
            headers = {"Authorization": f"Bearer {renewed.token}"}
            assert httpx2.get(f"{server.url}/api/v1/person", headers=headers).status_code == 200
            assert len(again.grants.revoked()) == 1
            assert again.grants.find_refresh_token(token.refresh_token or "", "warehouse-id") is None
            latest = await zaikio.refresh(renewed)
            assert latest.id == token.id
            assert (await zaikio.get_access_token(bearer_id=PERSON_ID)).bearer_id == PERSON_ID
            assert again.person(newcomer.id) == newcomer
            assert "All data is kept when this Hub restarts" in httpx2.get(server.url).text
        # Without the file, everybody has to log in again.
        path.unlink()
        with HubServer(kept_hub(path), port=port):
            with pytest.raises(InvalidGrantError):
                await zaikio.refresh(latest)
        await visitor.aclose()
        await other.aclose()


def test_what_is_signed_in_at_the_hub_and_its_keys_survive(tmp_path: Path) -> None:
    """A browser that is signed in at the Hub still is, and a form that is open can still be sent."""
    first = kept_hub(tmp_path / "state.json")
    first.rotate_signing_key()
    first.browser_sessions.restore("ab" * 32, {"a-session": PERSON_ID})
    first.save()
    second = kept_hub(tmp_path / "state.json")
    assert second.browser_sessions.export() == ("ab" * 32, {"a-session": PERSON_ID})
    assert second.grants.keys.published() == first.grants.keys.published()
    assert len(second.grants.keys.published()["keys"]) == 2


@pytest.mark.parametrize("content", [b"marked-secret", b"{}", b'{"version": 2}', b"\xff", b"[]"])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error says what to do and shows nothing of the file, which stays as it is."""
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is not a state file of this version of the local Hub; delete it"):
        kept_hub(path)
    assert path.read_bytes() == content
    path.write_bytes(b"")
    kept_hub(path)
    assert path.read_bytes() != b""


def test_a_state_with_other_keys_is_refused(tmp_path: Path) -> None:
    """A damaged key is no traceback, and not shown."""
    path = tmp_path / "state.json"
    kept_hub(path)
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"keys": [{"kty": "RSA", "n": "marked"}]}))
    with pytest.raises(ConfigurationError, match="is not a state file") as caught:
        kept_hub(path)
    assert "marked" not in str(caught.value)


def test_a_state_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """At the start; later it is one line in the log, because the Hub works without it."""
    with pytest.raises(ConfigurationError, match=r"state.json cannot be written: No such file or directory"):
        kept_hub(tmp_path / "none" / "state.json")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        kept_hub(tmp_path)


def test_a_full_disk_later_does_not_end_the_hub(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The folder has gone: the Hub serves on and says so."""
    folder = tmp_path / "folder"
    folder.mkdir()
    hub = kept_hub(folder / "state.json")
    (folder / "state.json").unlink()
    folder.rmdir()
    with HubServer(hub) as server:
        hub.mint_token("warehouse-id", PERSON_ID, "zaikio.person.r")
        assert httpx2.get(server.url).status_code == 200
    assert "cannot be written to" in caplog.records[0].getMessage()


def test_the_people_are_those_of_the_file(tmp_path: Path) -> None:
    """The example of the documentation is one; without organizations, the usual ones stay."""
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "local-hub.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "people.json"
    path.write_text(example)
    hub = LocalHub(people_file=path, auto_consent="anna@printer.example")
    (anna,) = hub.people
    assert (anna.full_name, anna.locale) == ("Anna Möller", "de")
    assert anna.memberships == ((ORGANIZATION_ID, ("owner", "admin")),)
    assert [each.name for each in hub.organizations] == ["Printer & Sons"]
    assert hub.consent == (PERSON_ID, None)

    path.write_text(json.dumps({"people": [PERSON | {"memberships": {ORGANIZATION_ID: []}}]}))
    assert len(LocalHub(people_file=path).organizations) == 3


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("no json", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"people": []}', "people: List should have at least 1 item"),
        ({"people": [PERSON | {"email": None}]}, "people[0].email: Input should be a valid string"),
        ({"people": [{"id": "a", "name": "b", "first_name": "c"}]}, "people[0].email is missing"),
        ({"people": [PERSON | {"phone": "swordfish"}]}, "people[0].phone is not known"),
        ({"people": [PERSON | {"first_name": ""}]}, "people[0].first_name: String should have at least 1 character"),
        ({"people": [PERSON | {"id": "a/b"}]}, "people[0].id: String should match pattern"),
        ({"people": [PERSON, PERSON]}, "the id anna is there more than once"),
        ({"people": [PERSON | {"memberships": {"nowhere": []}}]}, "memberships name nowhere"),
        ({"people": [PERSON | {"memberships": {ORGANIZATION_ID: ["boss"]}}]}, "Input should be 'owner', 'admin'"),
        ({"people": [PERSON], "organisations": []}, "organisations is not known"),
    ],
)
def test_a_mistake_in_the_people_is_named(tmp_path: Path, content: Any, line: str) -> None:
    """One line says where it is, without the value."""
    path = tmp_path / "people.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ConfigurationError, match=re.escape(line)) as caught:
        LocalHub(people_file=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "swordfish" not in str(caught.value)


def test_the_clients_and_the_environment_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``hub`` and the fixtures of pytest know the clients of ``.env``, and refuse its ``production``."""
    monkeypatch.chdir(tmp_path)
    assert [app.name for app in LocalHub.configured().apps] == ["warehouse"]
    (tmp_path / ".env").write_text(f"ZAIKIO_ENCRYPTION_KEYS={KEY}\nZAIKIO_CLIENTS__MILL__CLIENT_ID=mill-id\n")
    (app,) = LocalHub.configured(["http://localhost:9000"], "/auth").apps
    assert (app.client_id, app.redirect_uris[0]) == ("mill-id", "http://localhost:9000/auth/sessions/approve")
    (tmp_path / ".env").write_text("ZAIKIO_ENVIRONMENT=production\n")
    with pytest.raises(ConfigurationError, match="does not run in production"):
        LocalHub()


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--people", "none.json", "none.json: No such file or directory"),
        ("--auto-consent", "nobody@example.com", "Nobody at the local Hub has the id or e-mail address"),
        ("--state", "none/state.json", "cannot be written: No such file or directory"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, option: str, value: str, line: str) -> None:
    """The exit status is 2."""
    result = run("hub", option, value if "@" in value else f"{tmp_path}/{value}")
    assert (result.returncode, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert line in result.stderr


def test_the_command_keeps_its_state_when_it_is_killed(tmp_path: Path) -> None:
    """``hub --people … --auto-consent … --state …``: the page is skipped, and a refresh token survives a SIGKILL."""
    (tmp_path / "people.json").write_text(json.dumps({"people": [PERSON]}))
    port, answers = free_port(), []
    url = f"http://127.0.0.1:{port}"
    options = ["--people", "people.json", "--auto-consent", "anna", "--state", "state.json"]
    refresh_token = ""
    for start in range(2):
        process = subprocess.Popen(
            [*COMMAND, "hub", "--port", str(port), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=environment(PYTHONUNBUFFERED="1"),
        )
        try:
            with httpx2.Client(transport=httpx2.HTTPTransport(retries=20), base_url=url) as client:
                assert process.stdout is not None
                process.stdout.readline()
                if start == 0:
                    page = client.get("/oauth/authorize", params=_request())
                    code = dict(httpx2.URL(page.headers["location"]).params)["code"]
                    form = {
                        "grant_type": "authorization_code",
                        "code": code,
                        "redirect_uri": _request()["redirect_uri"],
                    }
                else:
                    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
                answers.append(client.post("/oauth/access_token", data=form, auth=_CLIENT))
                refresh_token = answers[-1].json().get("refresh_token", "")
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
    assert [answer.status_code for answer in answers] == [200, 200]


_CLIENT = ("52022d7a-7ba2-41ed-8890-97d88e6472f6", "local-hub-secret-of-the-warehouse")


def _request() -> dict[str, str]:
    return {
        "client_id": _CLIENT[0],
        "redirect_uri": "http://localhost:8000/zaikio/sessions/approve",
        "response_type": "code",
        "scope": "zaikio.person.r",
        "state": "a-state",
    }
