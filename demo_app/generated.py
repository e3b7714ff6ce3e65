"""Secrets that the demo generates, so that it starts without any settings, and reuses on the next start."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from cryptography.fernet import Fernet

__all__ = ["Generated", "UnreadableFileError"]


class UnreadableFileError(Exception):
    """The file exists, but the demo did not write it."""


@dataclass(frozen=True)
class Generated:
    """The secrets of the demo in one checkout. In a product, they come from the environment."""

    encryption_key: str = field(default_factory=lambda: Fernet.generate_key().decode(), repr=False)
    session_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    client_id: str = field(default_factory=lambda: f"bogenlager-{secrets.token_hex(4)}", repr=False)
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @classmethod
    def kept_in(cls, path: Path) -> Generated:
        """Return the secrets in this file, or generate them and write them to it, readable by this user only."""
        try:
            return cls._read(path)
        except FileNotFoundError:
            new = cls()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The file has these permissions from the start, so nobody else can open it in between.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(new), file, indent=2)
        return new

    @classmethod
    def _read(cls, path: Path) -> Generated:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            kept = {each.name: values[each.name] for each in fields(cls)}
        except (ValueError, KeyError, TypeError):
            # Not chained, because the decoder's error quotes the text, which may be a secret.
            raise UnreadableFileError(f"{path} cannot be read. Delete it to generate new secrets.") from None
        return cls(**kept)
