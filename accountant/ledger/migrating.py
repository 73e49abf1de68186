"""Versions of the tables: Alembic runs what ``migrations/versions`` holds, in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from accountant.numerics import MissingExtraError


def migrate(connection: Connection) -> None:
    """Bring a database to the newest version, from none or from an older one, in the transaction of this connection."""
    try:
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory
    except ImportError:
        raise MissingExtraError("the ledger", "Alembic", "ledger") from None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    context = EnvironmentContext(config, script, fn=lambda revision, _: script._upgrade_revs("head", revision))
    context.configure(connection=connection, transactional_ddl=False, target_metadata=None)
    context.run_migrations()
