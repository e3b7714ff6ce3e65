"""Addresses as hosting providers give them: libpq's parameters work with asyncpg, or an error says what to write."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from tests.data import KEY
from tests.environment.pgbouncer import pgbouncer, readable_by_nobody
from tests.environment.plugin import unavailable
from zaikio_oauth import ConfigurationError, Settings, StoreUnavailableError
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.postgresql_address import asyncpg_address

MODES = "has to be disable, allow, prefer, require, verify-ca or verify-full"


def address_of(url: str) -> str:
    """Return the address as the settings pass it on."""
    return Settings(encryption_keys=[KEY], clients={"a": {"client_id": "a"}}, database_url=url).database_url


async def ask(url: str, question: str = "SELECT 1") -> tuple[Any, bool]:
    """Return the answer of the database, and whether the connection to it was encrypted."""
    database = Database(address_of(url), [KEY])
    try:
        await database.open(auto_migrate=True)
        async with database.engine.connect() as connection:
            answer = (await connection.execute(text(question))).scalar()
            driver: Any = (await connection.get_raw_connection()).driver_connection
            return answer, driver._transport.get_extra_info("ssl_object") is not None
    finally:
        await database.aclose()


# ── TLS, with certificates of our own, before a real PostgreSQL ────────────────────────────────────


class Authority:
    """Makes certificates, with its own in the file ``root``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(self._signed(self._name, self._key.public_key(), x509.BasicConstraints(True, None)))

    def certificate(self, host: str, password: bytes | None = None) -> tuple[Path, Path]:
        """Return the files of a certificate for this host or user, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate, secret = self.folder / f"{host}.crt", self.folder / f"{host}.key"
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        certificate.write_bytes(self._signed(name, key.public_key(), names))
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(pem, pkcs8, encryption))
        return certificate, secret

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, name, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return the authority that the server's certificate is from."""
    return Authority(tmp_path, "authority")


@contextmanager
def serving(url: str, authority: Authority, folder: Path, mode: str, **settings: str) -> Iterator[str]:
    """Yield the address of a pooler with TLS before that server, with the certificate of ``localhost``."""
    command = os.environ.get("ZAIKIO_TEST_PGBOUNCER") or unavailable("pgbouncer", "it was not found")
    certificate, key = authority.certificate("localhost")
    readable_by_nobody(folder)
    key.chmod(0o644)
    tls = {"client_tls_sslmode": mode, "client_tls_cert_file": str(certificate), "client_tls_key_file": str(key)}
    with pgbouncer(command, url, folder, **tls, **settings) as url:
        yield url.replace("+asyncpg", "").replace("127.0.0.1", "localhost")


@pytest.mark.pgbouncer
async def test_every_sslmode_does_what_libpq_does(
    postgresql_url: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the certificates of the system; a certificate that is not right is no connection."""
    other = Authority(tmp_path, "other")
    with serving(postgresql_url, authority, tmp_path, "allow") as url:
        for mode in ("disable", "allow", "prefer", "require"):
            assert await ask(f"{url}?sslmode={mode}") == (1, mode in ("prefer", "require")), mode
        assert await ask(f"{url.replace('postgresql://', 'postgres://')}?ssl=require") == (1, True)
        for mode in ("require", "verify-ca", "verify-full"):
            assert await ask(f"{url}?sslmode={mode}&sslrootcert={authority.root}") == (1, True)
            with pytest.raises(ConfigurationError, match="its certificate is not valid"):
                await ask(f"{url}?sslmode={mode}&sslrootcert={other.root}")
        by_number = url.replace("localhost", "127.0.0.1")
        assert await ask(f"{by_number}?sslmode=verify-ca&sslrootcert={authority.root}") == (1, True)
        with pytest.raises(ConfigurationError, match="its certificate is not valid"):
            await ask(f"{by_number}?sslmode=verify-full&sslrootcert={authority.root}")

        with pytest.raises(ConfigurationError, match="its certificate is not valid"):
            await ask(f"{url}?sslmode=verify-full&sslrootcert=system")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
        assert await ask(f"{url}?sslrootcert=system&application_name=app") == (1, True)
        with pytest.raises(ConfigurationError, match="its certificate is not valid"):
            await ask(f"{by_number}?sslrootcert=system")
    with pytest.raises(ConfigurationError, match="it does not offer TLS, which its address requires"):
        await ask(f"{postgresql_url}?sslmode=require")


@pytest.mark.pgbouncer
async def test_a_client_can_have_a_certificate(postgresql_url: str, authority: Authority, tmp_path: Path) -> None:
    """With its key in another file, which may need a password."""
    certificate, key = authority.certificate("client", b"sword fish")
    own = f"sslcert={certificate}&sslkey={key}&sslpassword={quote('sword fish')}"
    root = {"client_tls_ca_file": str(authority.root)}
    with serving(postgresql_url, authority, tmp_path, "verify-ca", **root) as url:
        for root_of in (f"sslmode=verify-full&sslrootcert={authority.root}", "sslmode=require"):
            assert await ask(f"{url}?{root_of}&{own}") == (1, True)
        with pytest.raises(StoreUnavailableError):
            await ask(f"{url}?sslmode=require")
        with pytest.raises(ConfigurationError, match="'sslcert' and 'sslkey' are not a cert") as caught:
            await ask(f"{url}?sslmode=require&{own}2")
    assert "fish" not in f"{caught.value!r} {caught.value.__cause__!r}"


# ── everything else, with a real PostgreSQL ────────────────────────────────────────────────────────


async def test_parameters_reach_the_server(postgresql_url: str) -> None:
    """Its settings, also a schema of our own; and those that change nothing are not in the way."""
    database = Database(postgresql_url, [KEY])
    async with database.engine.connect() as connection:
        await connection.execute(text("CREATE SCHEMA zaikio"))
        await connection.execute(text("CREATE TABLE public.zaikio_access_tokens (of_the_gem integer)"))
    await database.aclose()
    query = "options=-csearch_path%3Dzaikio&connect_timeout=5&channel_binding=prefer&gssencmode=disable&sslsni=1"
    where = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'zaikio_leases'"
    assert (await ask(f"{postgresql_url}?{query}&client_encoding=utf8", where))[0] == "zaikio"
    assert (await ask(f"{postgresql_url}?{query}&application_name=my%20app", "SHOW application_name"))[0] == "my app"


async def test_the_first_host_that_fits_is_used(postgresql_url: str) -> None:
    """A list of hosts, in the address or as a parameter, each with a port or with one for all."""
    host = postgresql_url.partition("@")[2].partition("/")[0]
    name, _, port = host.partition(":")
    several = postgresql_url.replace(host, f"127.0.0.1:1,{host}")
    assert (await ask(f"{several}?target_session_attrs=read-write"))[0] == 1
    with pytest.raises(StoreUnavailableError, match="of the kind that target_session_attrs asks for"):
        await ask(f"{postgresql_url}?target_session_attrs=standby")
    nowhere = postgresql_url.replace(host, "")
    assert (await ask(f"{nowhere}?host={name},{name}&port={port}"))[0] == 1
    assert (await ask(f"{nowhere.replace('zaikio@', '')}?user=zaikio&host={name},{name}&port=1,{port}"))[0] == 1


@pytest.mark.parametrize(
    ("url", "host", "port", "several"),
    [
        ("u:p@h/db", "h", None, None),
        ("u:p@h:6432/db", "h", 6432, None),
        ("u:p@%2Frun%2Fpostgresql/db", "/run/postgresql", 5432, None),
        ("u:p@/db?host=/cloudsql/x", "/cloudsql/x", 5432, None),
        ("/db?host=h&user=u&password=p", "h", 5432, None),
        ("u:p@h,[::1]:6432/db", "h:5432,::1:6432", None, (["h", "::1"], [5432, 6432])),
        ("u:p@/db?host=h:1&host=i", "h:1,i:5432", None, (["h", "i"], [1, 5432])),
        ("u:a%40b/c,d@h/db", "h", None, None),
    ],
)
def test_the_host_is_found_wherever_it_stands(url: str, host: str, port: int | None, several: Any) -> None:
    """The address that is shown has all of them, and never the password."""
    address, arguments = asyncpg_address(f"postgresql+asyncpg://{url}")
    assert (address.host, address.port, address.database, address.username) == (host, port, "db", "u")
    assert (arguments["host"], arguments["port"]) == several if several else arguments == {}
    assert address.password in ("p", "a@b/c,d")
    assert ":p@" not in Database(f"postgresql+asyncpg://{url}", [KEY]).name


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=Require", f"'sslmode' {MODES}."),
        ("sslmode=verify-full", "'sslmode' needs a root certificate; add sslrootcert=system, or the path of a file."),
        ("sslmode=require&sslrootcert=system", "'sslmode' has to be verify-full with sslrootcert=system."),
        ("sslmode=require&ssl=true", "'ssl' cannot stand beside 'sslmode' and the like; remove it."),
        ("sslmode=verify-ca&sslrootcert=/no/swordfish", "'sslrootcert' names a file that cannot be read."),
        (f"sslmode=verify-ca&sslrootcert={__file__}", "'sslrootcert' names a file without certificates in PEM."),
        (f"sslmode=require&sslcrl={__file__}", "'sslcrl' names a file without certificates in PEM."),
        (f"sslcert={__file__}&sslpassword=swordfish", "'sslcert' and 'sslkey' are not a certificate in PEM and its"),
        (
            "ssl_min_protocol_version=swordfish",
            "'ssl_min_protocol_version' has to be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3",
        ),
        ("channel_binding=require", "'channel_binding' asks for; write sslmode=verify-full&sslrootcert=system,"),
        ("gssencmode=require", "'gssencmode' asks for; write sslmode=require."),
        ("target_session_attrs=swordfish", "'target_session_attrs' has to be any, primary, standby, read-write,"),
        ("connect_timeout=0", "'connect_timeout' has to be a whole number of seconds, at least 1."),
        ("connect_timeout=swordfish", "'connect_timeout' has to be a whole number of seconds, at least 1."),
        ("keepalives_idle=30", "'keepalives_idle' asks for; remove it; a connection that was lost is replaced."),
        ("load_balance_hosts=random", "'load_balance_hosts' asks for; remove it; the hosts are tried in order."),
        ("statement_timeout=5", "'statement_timeout' asks for; write 'command_timeout', in seconds."),
        ("schema=zaikio", "'schema' asks for; write options=-csearch_path%3D and its name."),
        ("connection_limit=1&pgbouncer=true", "'connection_limit' asks for; remove it, and pass engine_options="),
        ("supa=base-pooler.x", "asyncpg knows no parameter 'supa'; remove it."),
        ("host=a,b&port=1,2,3", "'port' has to be one number, or one for each host."),
        ("host=a%20b:c", "is not an address that SQLAlchemy understands."),
    ],
)
def test_what_asyncpg_cannot_do_is_named(query: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to write instead, and never shows a value."""
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(ConfigurationError) as caught:
        Database(address_of(f"postgres://u:swordfish@h/db?{query}"), [KEY])
    assert message in str(caught.value)
    assert "swordfish" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_the_certificates_of_the_system_are_those_of_python() -> None:
    """The context that asyncpg gets checks the certificate and the name of the host."""
    _, arguments = asyncpg_address("postgresql+asyncpg://h/db?sslrootcert=system")
    context = arguments["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
