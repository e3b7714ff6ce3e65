"""The command ``zaikio-oauth``."""

from zaikio_oauth.cli.commands import main

__all__ = ["main"]
