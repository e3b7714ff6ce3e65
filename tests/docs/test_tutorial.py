"""The tutorial as a reader does it: files in a folder, a local Hub and a server as processes, a job, and the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from cryptography.fernet import Fernet

from tests.docs.pages import DOCS, blocks

BIN = Path(sys.executable).parent


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


HUB, APP = free_port(), free_port()


def block(page: str, language: str) -> str:
    """Return the only block in this language on a page of the tutorial, with ports that nothing else uses."""
    (code,) = [each.code for each in blocks(DOCS / "tutorial" / page) if each.language == language]
    return code.replace("8001", str(HUB)).replace("8000", str(APP))


@contextmanager
def running(folder: Path, url: str, *command: str) -> Iterator[None]:
    """Run a command in the folder, as soon as it answers, until the end of the block."""
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=surroundings(), stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            if process.poll() is not None:
                break
            try:
                httpx2.get(url)
            except httpx2.TransportError:
                time.sleep(0.1)
            else:
                yield
                return
        pytest.fail((folder / "server.log").read_text())
    finally:
        process.terminate()
        process.wait(10)


def surroundings() -> dict[str, str]:
    """Return the environment of a terminal in which the reader's virtual environment is active."""
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}


def run(folder: Path, *command: str) -> str:
    """Run a command in the folder until it ends, and return what it has printed."""
    ran = subprocess.run(command, cwd=folder, env=surroundings(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.timeout(300)  # it starts seven processes, one after the other
def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    """Whoever does what the pages say sees what the pages show, from the first login to the tests."""
    settings = block("1-log-in.md", "dotenv") + block("3-organizations.md", "dotenv")
    key = Fernet.generate_key().decode()
    (tmp_path / ".env").write_text(f"{settings}ZAIKIO_ENCRYPTION_KEYS={key}\n")
    app, hub = f"http://localhost:{APP}", f"http://localhost:{HUB}"
    server = (str(BIN / "uvicorn"), "app:app", "--port", str(APP))
    serve_hub = (str(BIN / "zaikio-oauth"), "hub", "--port", str(HUB), "--app-url", app)
    anna = ("--auto-consent", "anna.moeller@druckhaus-moeller.example")
    with ExitStack() as stack:
        browser = stack.enter_context(httpx2.Client(follow_redirects=True, headers={"accept": "text/html"}))
        stack.enter_context(running(tmp_path, hub, *serve_hub, *anna))
        for page, path, shown in (
            ("1-log-in.md", "/me", '"scopes":["zaikio.person.r"]'),
            ("2-pages.md", "/", "Hello, Anna Möller!"),
            ("3-organizations.md", "/zaikio/connections/new?origin=/", "b1475f65-236c-58b8-96e1-e1778b43beb7: ok"),
        ):
            (tmp_path / "app.py").write_text(block(page, "python"))
            with running(tmp_path, f"{app}/zaikio", *server):
                response = browser.get(app + path)
                assert shown in response.text
        (tmp_path / "nightly.py").write_text(block("4-worker.md", "python"))
        assert run(tmp_path, str(BIN / "python"), "nightly.py") == block("4-worker.md", "text")
    (tmp_path / "test_app.py").write_text(block("5-tests.md", "python"))
    for file in tmp_path.glob("zaikio_oauth.db*"):
        file.unlink()
    assert "2 passed" in run(tmp_path, str(BIN / "pytest"), "-p", "no:cacheprovider")
    assert not list(tmp_path.glob("zaikio_oauth.db*")), "the tests have used the database of the app"
