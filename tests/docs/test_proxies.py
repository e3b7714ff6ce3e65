"""The configurations of Caddy and nginx in the documentation are started, and a person logs in through them."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from tests.app_server import AppServer
from tests.apps import small_app
from tests.data import PERSON_ID, SECRET
from tests.docs.pages import DOCS, blocks
from tests.environment.plugin import unavailable
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, LocalHub

HOST = "warehouse.example"
SITE = f"https://{HOST}"

# The whole of nginx's configuration around the page's part of it.
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {block}
}}
"""
# What Caddy obtains by itself elsewhere.
CADDY = """
{{
    admin off
    auto_https disable_redirects
    storage file_system {folder}
    skip_install_trust
}}
{block}
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a self-signed certificate for the host, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    key, name, now = (
        ec.generate_private_key(ec.SECP256R1()),
        [x509.NameAttribute(NameOID.COMMON_NAME, HOST)],
        datetime.now(UTC),
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(name))
        .issuer_name(x509.Name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "site.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "site.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return folder / "site.pem", folder / "site.key"


def block(language: str, prefix: str) -> str:
    """Return the configuration of the page for the app at the root, or below a prefix."""
    found = [each.code for each in blocks(DOCS / "how-to" / "proxy.md") if each.language == language]
    at_root, below = found
    return below if prefix else at_root


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def replaced(text: str, **parts: tuple[str, str]) -> str:
    """Return the text with each part replaced, which has to be there."""
    for name, (old, new) in parts.items():
        assert old in text, name
        text = text.replace(old, new)
    return text


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a proxy until the body has ended."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder)
    try:
        until = time.monotonic() + 20
        while True:
            assert process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < until, (folder / "output").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def nginx(program: str, prefix: str, app_port: int, folder: Path, certificate: tuple[Path, Path]) -> Iterator[int]:
    """Run nginx with the block of the page, and yield its port."""
    port, http_port = free_port(), free_port()
    text = replaced(
        block("nginx", prefix),
        app=("127.0.0.1:8000", f"127.0.0.1:{app_port}"),
        tls=("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        certificate=("/etc/ssl/warehouse.pem", str(certificate[0])),
        key=("/etc/ssl/warehouse.key", str(certificate[1])),
    ).replace("listen 80;", f"listen 127.0.0.1:{http_port};")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, block=text))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with running(command, port, folder):
        if not prefix:
            moved = httpx.get(f"http://127.0.0.1:{http_port}/me?x=y", headers={"Host": HOST})
            assert (moved.status_code, moved.headers["location"]) == (301, f"{SITE}/me?x=y")
        yield port


@contextmanager
def caddy(program: str, prefix: str, app_port: int, folder: Path, certificate: tuple[Path, Path]) -> Iterator[int]:
    """Run Caddy with the block of the page, and yield its port; instead of asking an authority it has a certificate."""
    port = free_port()
    text = replaced(
        block("caddyfile", prefix),
        app=("127.0.0.1:8000", f"127.0.0.1:{app_port}"),
        tls=(f"{HOST} {{", f"{HOST}:{port} {{\n    bind 127.0.0.1\n    tls {certificate[0]} {certificate[1]}"),
    )
    (folder / "Caddyfile").write_text(CADDY.format(folder=folder, block=text))
    command = [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with running(command, port, folder):
        yield port


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.mark.parametrize("prefix", ["", "/warehouse"])
@pytest.mark.parametrize("name", [pytest.param(each, marks=pytest.mark.proxy) for each in PROXIES])
def test_a_person_logs_in_through_the_proxy(
    name: str,
    prefix: str,
    make_settings: Callable[..., Settings],
    hub: LocalHub,
    tmp_path: Path,
    certificate: tuple[Path, Path],
) -> None:
    """TLS, the prefix and the forwarded headers are right: the redirect URI is the public address, without a setting."""
    program = os.environ.get(f"ZAIKIO_TEST_{name.upper()}")
    if not program:
        unavailable("proxy", f"no {name} was found (ZAIKIO_TEST_{name.upper()})")
    hub.apps = [HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[SITE + prefix])]
    hub.auto_consent(PERSON_ID)
    app: FastAPI = small_app(ZaikioOAuth(make_settings()))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST])
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        AppServer(app, root_path=prefix) as server,
        PROXIES[name](program, prefix, server.port, tmp_path, certificate) as port,
        httpx.Client(verify=context, base_url=f"https://127.0.0.1:{port}") as browser,
    ):

        def get(path: str, **headers: str) -> httpx.Response:
            return browser.get(path, headers={"Host": HOST, **headers}, extensions={"sni_hostname": HOST})

        start = get(f"{prefix}/me", Accept="text/html").headers["location"]
        assert start == f"{prefix}/zaikio/sessions/new?origin=" + f"{prefix}/me".replace("/", "%2F")
        started = get(start)
        assert all("Secure" in cookie for cookie in started.headers.get_list("set-cookie"))
        back = httpx.get(started.headers["location"]).headers["location"]
        assert re.match(re.escape(f"{SITE}{prefix}/zaikio/sessions/approve?"), back)
        approved = get(back.removeprefix(SITE))
        assert approved.headers["location"] == f"{prefix}/me"
        assert get(f"{prefix}/me").json()["person"] == PERSON_ID
        # The longest response, and a browser with several logins under way.
        assert get(f"{prefix}/zaikio/sessions/new?origin=/{'x' * 1000}&person[name]={'y' * 1000}").status_code == 302
        browser.cookies.update({f"other_{number}": "x" * 3500 for number in range(5)})
        assert get(f"{prefix}/me").status_code == 200
