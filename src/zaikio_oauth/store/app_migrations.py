"""What the ``env.py`` of an app's own Alembic needs, so that our tables and its migrations keep apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import MigrationScript
from alembic.script import ScriptDirectory
from alembic.util import CommandError, coerce_resource_to_filename

from zaikio_oauth.store.schema import TABLE_NAMES, directory

__all__ = ["include_name", "process_revision_directives", "version_location"]


def include_name(
    name: str | None,
    type_: str,
    parent_names: Mapping[Any, str | None],  # noqa: ARG001 (Alembic passes it)
) -> bool:
    """Return False for the tables of zaikio_oauth, so that ``alembic revision --autogenerate`` leaves them alone.

    Without it, a migration of the app would drop them, because the app's metadata does not have them. It is for
    ``context.configure`` in the app's ``env.py``, whose ``include_name`` it is (Alembic, "Omitting Table Names from the
    Autogenerate Process"). ``name`` and ``type_`` say what Alembic has found in the database, ``parent_names`` where:
    a table of ours is recognized in any schema.

        from zaikio_oauth import migrations

        context.configure(connection=connection, target_metadata=metadata, include_name=migrations.include_name)
    """
    return not (type_ == "table" and name in TABLE_NAMES)


def version_location() -> str:
    """Return the folder of our migrations, for the ``version_locations`` of an app whose Alembic runs them.

    In an ``alembic.ini`` write ``zaikio_oauth:_alembic/versions`` instead, which is the same folder. Raises
    ConfigurationError if the installation lacks it.

        from alembic.config import Config

        config = Config("alembic.ini")
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", os.pathsep.join(["versions", migrations.version_location()]))
    """
    return str(directory() / "versions")


def process_revision_directives(
    context: MigrationContext,
    revision: str | Iterable[str | None],  # noqa: ARG001 (Alembic passes it)
    directives: list[MigrationScript],
) -> None:
    """Have ``alembic revision`` write into the app's folder, and continue the app's migrations rather than ours.

    It is for an app whose Alembic runs our migrations, and goes with ``revision_environment = true``. Alembic on its
    own continues the newest migration and writes into the folder of that, which may be ours in ``site-packages``.
    ``context``, ``revision`` and ``directives`` are what Alembic gives to such a hook ("Customizing Revision
    Generation"). Raises Alembic's CommandError if ``--head`` or ``--version-path`` asks for ours.

        context.configure(connection=connection, target_metadata=metadata, include_name=migrations.include_name,
                          process_revision_directives=migrations.process_revision_directives)
    """
    environment = context.environment_context
    if environment is None:
        return
    for directive in directives:
        _keep_apart(environment.script, directive)


def _keep_apart(script: ScriptDirectory, directive: MigrationScript) -> None:
    ours = directory() / "versions"
    named = None if directive.head in (None, "head", "heads") else directive.head
    heads = [each for each in script.get_revisions(named or "heads") if each is not None]
    of_the_app = [each for each in heads if not _is(ours, Path(each.path).parent)]
    if _is(ours, directive.version_path) or (named and len(of_the_app) < len(heads)):
        raise CommandError(
            "A migration of the app cannot be one of zaikio_oauth, whose folder belongs to its package. If it needs "
            "its tables, write: alembic revision --depends-on zaikio_oauth"
        )
    # If the app has several branches, Alembic asks which one is meant.
    if not named and len(of_the_app) < 2:
        directive.head = of_the_app[0].revision if of_the_app else "base"
    if not of_the_app and directive.version_path is None:
        folders = map(coerce_resource_to_filename, script.version_locations)
        directive.version_path = next((str(folder) for folder in folders if not _is(ours, folder)), None)


def _is(folder: Path, other: str | Path | None) -> bool:
    return other is not None and Path(other).resolve() == folder.resolve()
