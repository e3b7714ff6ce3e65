"""Sync code in processes of its own: scripts, forks, a Celery worker, gunicorn."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from tests.data import KEY, some_client
from tests.faults.processes import ROOT, clean_environment
from zaikio_oauth import BearerDoesNotExistError
from zaikio_oauth.testing import LocalHub

JOBS = Path(__file__).with_name("sync_jobs.py")


@pytest.fixture
def organizations(hub: LocalHub) -> list[str]:
    """Return organizations that have granted access to the app."""
    added = [hub.add_organization("Some Print", hub.people[0].id).id for _ in range(3)]
    for organization in added:
        hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    return added


@pytest.fixture
def order(request: pytest.FixtureRequest, hub_url: str, organizations: list[str], tmp_path: Path) -> dict[str, Any]:
    """Return what a process needs to know. Starting processes takes time, so a test names its database."""
    postgresql = request.param == "postgresql"
    database_url = request.getfixturevalue("postgresql_url") if postgresql else f"sqlite:///{tmp_path}/app.db"
    settings = {
        "host": hub_url,
        "database_url": database_url,
        "auto_migrate": True,
        "encryption_keys": [KEY],
        "clients": {"warehouse": some_client()},
    }
    return {"settings": settings, "organizations": organizations}


def run(name: str, order: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts. Every warning is an error, also those about what nobody has closed."""
    command = [sys.executable, "-W", "error", str(JOBS), name, json.dumps(order)]
    return subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("name", "order", "output", "requests"),
    [
        ("plain", "sqlite", "", 1),
        ("goes_on_in_threads", "sqlite", "worked", 2),
        ("forks", "sqlite", "", 3),
        ("forks", "postgresql", "", 3),
        ("forks_several", "postgresql", "", 1),
        ("forks_while_locks_are_held", "sqlite", "", 1),
    ],
    indirect=["order"],
)
def test_a_script_ends_without_a_word(
    name: str, output: str, requests: int, order: dict[str, Any], hub: LocalHub
) -> None:
    """Its exit status is 0, nothing is on stderr, and the Hub was asked once for each organization."""
    ended = run(name, order)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, output, "")
    assert hub.count(grant_type="client_credentials") == requests


@pytest.mark.parametrize(
    ("name", "order"),
    [("ends_while_the_hub_is_asked", "sqlite"), ("is_interrupted", "postgresql")],
    indirect=["order"],
)
def test_a_script_that_ends_while_the_hub_is_asked_stores_what_it_gets(
    name: str, order: dict[str, Any], hub: LocalHub
) -> None:
    """The interpreter waits for it, and the next script finds it."""
    hub.fail("client_credentials", latency=1.5)
    ended = run(name, order)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")

    assert run("plain", order).returncode == 0
    assert hub.count(grant_type="client_credentials") == 1


@contextmanager
def celery_worker(order: dict[str, Any]) -> Iterator[Any]:
    """Run a worker with two processes; yield the app by which this process sends it tasks."""
    for name in ("queue", "control", "results"):
        Path(order["folder"], name).mkdir()
    environment = clean_environment(SYNC_ORDER=json.dumps(order))
    command = [sys.executable, "-m", "celery", "-A", "tests.tokens.celery_app", "worker", "--pool=prefork"]
    options = ["--concurrency=2", "--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    sender = Celery(broker="filesystem://", backend=f"file://{order['folder']}/results", set_as_current=False)
    sender.conf.broker_transport_options = {
        "data_folder_in": f"{order['folder']}/queue",
        "data_folder_out": f"{order['folder']}/queue",
        "control_folder": f"{order['folder']}/control",
    }
    with subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        try:
            yield sender
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=30)
        finally:
            worker.kill()
        sender.close()
    assert worker.returncode == 0
    assert "Traceback" not in said
    assert "zaikio" not in said


def task(sender: Any, name: str, *arguments: str) -> Any:
    return sender.send_task(f"tests.tokens.celery_app.{name}", arguments)


@pytest.mark.parametrize("order", ["sqlite", "postgresql"], indirect=True)
def test_the_processes_of_a_celery_worker_share_a_token(
    order: dict[str, Any], organizations: list[str], hub: LocalHub, tmp_path: Path
) -> None:
    """The parent has used the library before it forked. Its children go on, and an error keeps its type."""
    with celery_worker(order | {"folder": str(tmp_path)}) as sender:
        jobs = [task(sender, "get", organization) for organization in organizations * 4]
        got = [job.get(timeout=40) for job in jobs]
        with pytest.raises(BearerDoesNotExistError):
            task(sender, "get_of_nobody").get(timeout=40)

    assert len({process for process, _, _ in got}) == 2
    assert len({before for _, before, _ in got}) == 1
    assert len({jti for _, _, jti in got}) == 3
    assert hub.count(grant_type="client_credentials") == 3 + 1


@pytest.mark.parametrize("order", ["postgresql"], indirect=True)
def test_a_celery_task_that_exceeds_its_time_loses_nothing(
    order: dict[str, Any], organizations: list[str], hub: LocalHub, tmp_path: Path
) -> None:
    """Its process ends after it, without the end of an interpreter. What the Hub was issuing is stored nevertheless."""
    with celery_worker(order | {"folder": str(tmp_path), "tasks_per_child": 1}) as sender:
        assert task(sender, "get", organizations[0]).get(timeout=40)
        hub.fail("client_credentials", latency=3)
        with pytest.raises(SoftTimeLimitExceeded):
            task(sender, "get_in_time", organizations[1]).get(timeout=40)
        assert task(sender, "get_in_time", organizations[1]).get(timeout=40)

    assert hub.count(grant_type="client_credentials") == 2


@pytest.mark.parametrize("order", ["sqlite", "postgresql"], indirect=True)
def test_gunicorn_with_preload(order: dict[str, Any], organizations: list[str], hub: LocalHub) -> None:
    """The app was imported, and has used the library, before the workers were forked; each has several threads."""
    listening = socket.create_server(("127.0.0.1", 0))
    options = ["--preload", "--workers=2", "--threads=4", f"--bind=fd://{listening.fileno()}", "--log-level=warning"]
    command = [sys.executable, "-m", "gunicorn", *options, "tests.tokens.wsgi_app"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(SYNC_ORDER=json.dumps(order)),
        pass_fds=[listening.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    ) as server:

        def visit(organization: str) -> dict[str, Any]:
            return httpx2.get(f"http://127.0.0.1:{listening.getsockname()[1]}/{organization}", timeout=40).json()

        try:
            answers: list[dict[str, Any]] = []
            with ThreadPoolExecutor(8) as threads:
                # Either process may be the first to listen.
                while len(answers) < 600 and len({answer["process"] for answer in answers}) < 2:
                    answers += threads.map(visit, organizations * 10)
            server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=30)
        finally:
            server.kill()
            listening.close()

    assert (server.returncode, said) == (0, "")
    assert len({answer["process"] for answer in answers}) == 2
    assert {answer["before"] for answer in answers} == {answers[0]["jti"]}
    assert len({answer["jti"] for answer in answers}) == 3
    assert hub.count(grant_type="client_credentials") == 3
