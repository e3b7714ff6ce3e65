"""For an app with an Alembic of its own: what its ``env.py`` needs beside the tables of zaikio_oauth."""

from zaikio_oauth.store.app_migrations import include_name, process_revision_directives, version_location

__all__ = ["include_name", "process_revision_directives", "version_location"]
