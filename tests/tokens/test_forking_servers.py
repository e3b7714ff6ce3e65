"""Sync code in the servers that fork: a Celery worker and gunicorn."""

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

from tests.faults.processes import ROOT, clean_environment
from zaikio_oauth import BearerDoesNotExistError
from zaikio_oauth.testing import LocalHub


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


@pytest.mark.parametrize("order", ["sqlite"], indirect=True)
def test_the_processes_of_a_celery_worker_share_a_token(
    order: dict[str, Any], organizations: list[str], hub: LocalHub, tmp_path: Path
) -> None:
    """The parent has used the library before it forked. Its children go on, and an error keeps its type."""
    with celery_worker(order | {"folder": str(tmp_path)}) as sender:
        jobs = [task(sender, "get", organization) for organization in organizations * 4]
        got = [job.get(timeout=40, interval=0.05) for job in jobs]
        with pytest.raises(BearerDoesNotExistError):
            task(sender, "get_of_nobody").get(timeout=40, interval=0.05)

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
        assert task(sender, "get", organizations[0]).get(timeout=40, interval=0.05)
        hub.fail("client_credentials", latency=3)
        with pytest.raises(SoftTimeLimitExceeded):
            task(sender, "get_in_time", organizations[1]).get(timeout=40, interval=0.05)
        assert task(sender, "get", organizations[1]).get(timeout=40, interval=0.05)

    assert hub.count(grant_type="client_credentials") == 2


@pytest.mark.parametrize("order", ["postgresql"], indirect=True)
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
