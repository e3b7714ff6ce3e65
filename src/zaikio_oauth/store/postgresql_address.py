"""The address of a PostgreSQL server as hosting providers give it, with parameters of libpq, in the form for asyncpg.

SQLAlchemy passes the parameters of an address to ``asyncpg.connect`` as arguments, among which there are none of
libpq's. asyncpg understands most of them in an address of its own (``dsn``), so they are moved into one. What it cannot
do is a ConfigurationError that says what to write instead, because a ``require`` must not be ignored (PostgreSQL
manual, "Parameter Key Words").
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlencode

from sqlalchemy import URL
from sqlalchemy.engine import make_url

from zaikio_oauth.errors import ConfigurationError

__all__ = ["asyncpg_address"]

_ADDRESS: Final = re.compile(r"(?P<before>[^/?#]+://(?:[^/?#]*@)?)(?P<hosts>[^/?#@]*)(?P<after>.*)", re.DOTALL)
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")

_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    **dict.fromkeys(
        ("ssl_min_protocol_version", "ssl_max_protocol_version"), ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
    ),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
}
_FILES: Final[tuple[str, ...]] = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_VERSIONS: Final[tuple[str, ...]] = ("ssl_min_protocol_version", "ssl_max_protocol_version")
_TLS: Final[tuple[str, ...]] = ("sslmode", *_FILES, "sslpassword", *_VERSIONS)

# Values that change nothing, because asyncpg does this in any case, or libpq only if both sides can.
_WITHOUT_EFFECT: Final[Mapping[str, tuple[str, ...]]] = {
    "channel_binding": ("disable", "prefer"),
    "client_encoding": ("auto", "utf8", "UTF8"),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "sslcompression": ("0",),
    "sslnegotiation": ("postgres",),
    "sslsni": ("1",),
}
_INSTEAD: Final[Mapping[str, str]] = {
    "channel_binding": "write sslmode=verify-full&sslrootcert=system, which makes sure of the server too",
    "client_encoding": "remove it; it is always UTF-8",
    "connection_limit": "remove it, and pass engine_options={'pool_size': …} to configure",
    "gssencmode": "write sslmode=require",
    "hostaddr": "write that address as the host",
    "keepalives": "remove it; a connection that was lost is replaced",
    "load_balance_hosts": "remove it; the hosts are tried in order",
    "pool_timeout": "remove it, and pass engine_options={'pool_timeout': …} to configure",
    "requiressl": "write sslmode=require",
    "schema": "write options=-csearch_path%3D and its name",
    "sslcompression": "remove it",
    "sslnegotiation": "remove it",
    "sslsni": "remove it",
    "statement_timeout": "write 'command_timeout', in seconds",
    "tcp_user_timeout": "remove it; a connection that was lost is replaced",
}


def asyncpg_address(url: str) -> tuple[URL, dict[str, Any]]:
    """Return the address without parameters of libpq's, and the arguments for asyncpg that stand for them.

    Raises ConfigurationError, which names a parameter and never its value, and what SQLAlchemy raises for an address
    that is none.
    """
    match = _ADDRESS.fullmatch(url)
    # SQLAlchemy understands neither several hosts at this place nor a socket, whose slashes are encoded there.
    strange = match["hosts"] if match and re.search("[,%]", match["hosts"]) else ""
    if match and "@" in match["after"].partition("?")[0]:
        strange = ""  # It is not the hosts, but the beginning of a password with a slash.
    address = make_url(match["before"] + match["after"] if match and strange else url)
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in address.query.items()}
    arguments: dict[str, Any] = {}
    if hosts := strange or query.pop("host", ""):
        address, arguments = _with_hosts(address, hosts, query.pop("port", ""))
    # As a parameter, a password would be shown with the address.
    database = query.pop("dbname", None) or query.pop("database", None)
    address = address.set(username=query.pop("user", None), password=query.pop("password", None), database=database)
    for name, values in _VALUES.items():
        if query.get(name, values[0]) not in values:
            raise _wrong(name, f"has to be {', '.join(values[:-1])} or {values[-1]}")
    _remove_without_effect(query)
    arguments |= _tls(query)
    seconds = query.pop("connect_timeout", None)
    if seconds is not None:
        if not re.fullmatch(r"[1-9][0-9]{0,4}", seconds):
            raise _wrong("connect_timeout", "has to be a whole number of seconds, at least 1")
        query.setdefault("timeout", seconds)
    moved = {name: query.pop(name) for name in (*_TLS, "application_name", "options") if name in query}
    if moved:
        arguments["dsn"] = "postgresql://?" + urlencode(moved)
    return address.set(query=query), arguments


def _with_hosts(address: URL, hosts: str, ports: str) -> tuple[URL, dict[str, Any]]:
    """Return the address of a host, or that of several together with asyncpg's arguments for them."""
    found: list[tuple[str, int | None]] = []
    for host in map(unquote, hosts.split(",")):
        if host.startswith("/"):
            found.append((host, None))
        elif match := _HOST.fullmatch(host):
            found.append((match["ipv6"] or match["name"], int(match["port"]) if match["port"] else None))
        else:
            raise ValueError("no host")
    given = [int(port) for port in ports.split(",")] if ports else [address.port or 5432]
    if len(given) not in (1, len(found)):
        raise _wrong("port", "has to be one number, or one for each host")
    given *= len(found) if len(given) == 1 else 1
    pairs = [(host, port or other) for (host, port), other in zip(found, given, strict=True)]
    if len(pairs) == 1:
        return address.set(host=pairs[0][0], port=pairs[0][1]), {}
    names, numbers = [host for host, _ in pairs], [port for _, port in pairs]
    shown = ",".join(f"{host}:{port}" for host, port in pairs)
    return address.set(host=shown, port=None), {"host": names, "port": numbers}


def _remove_without_effect(query: dict[str, str]) -> None:
    for name, values in _WITHOUT_EFFECT.items():
        if query.get(name) in values:
            del query[name]
    for name in query:
        if instead := _INSTEAD.get("keepalives" if name.startswith("keepalives") else name):
            raise ConfigurationError(f"ZAIKIO_DATABASE_URL: asyncpg cannot do what {name!r} asks for; {instead}.")


def _tls(query: dict[str, str]) -> dict[str, Any]:
    """Check what asyncpg would find out only when it connects; return an argument for the system's certificates."""
    if "ssl" in query and any(name in query for name in _TLS):
        raise _wrong("ssl", "cannot stand beside 'sslmode' and the like; remove it")
    _check_files(query)
    verifying = query.get("sslmode", "").startswith("verify")
    if query.get("sslrootcert") != "system":
        if verifying and "sslrootcert" not in query and not _has_default_authorities():
            raise _wrong("sslmode", "needs a root certificate; add sslrootcert=system, or the path of a file")
        return {}
    if query.pop("sslmode", "verify-full") != "verify-full":
        raise _wrong("sslmode", "has to be verify-full with sslrootcert=system")
    del query["sslrootcert"]
    context = ssl.create_default_context()
    if "sslcert" in query:
        _load_certificate(context, query)
    # asyncpg looks for the system's certificates in no mode; it takes this context instead of a mode.
    return {"ssl": context}


def _has_default_authorities() -> bool:
    return "PGSSLROOTCERT" in os.environ or (Path.home() / ".postgresql" / "root.crt").is_file()


def _check_files(query: Mapping[str, str]) -> None:
    for name in _FILES:
        if name in query and query[name] != "system" and not os.access(query[name], os.R_OK):
            raise _wrong(name, "names a file that cannot be read")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("sslrootcert", "sslcrl"):
        if query.get(name, "system") != "system":
            try:
                context.load_verify_locations(cafile=query[name])
            except (ssl.SSLError, OSError):
                raise _wrong(name, "names a file without certificates in PEM") from None
    if "sslcert" in query:
        _load_certificate(context, query)


def _load_certificate(context: ssl.SSLContext, query: Mapping[str, str]) -> None:
    password = query.get("sslpassword", "")
    try:
        context.load_cert_chain(query["sslcert"], query.get("sslkey"), password=lambda: password)
    except (ssl.SSLError, OSError):
        raise _wrong("sslcert", "and 'sslkey' are not a certificate in PEM and its key") from None


def _wrong(name: str, message: str) -> ConfigurationError:
    return ConfigurationError(f"ZAIKIO_DATABASE_URL: {name!r} {message}.")
