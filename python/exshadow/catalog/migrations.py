"""Brings a catalog to the schema of this version, in one transaction, or refuses a newer one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from exshadow.errors import NewerVersionError

HEAD = "0003"
"""The revision this version writes; the last of REVISIONS."""

REVISIONS = ("0001", "0002", "0003")

ADDED: dict[str, dict[str, dict[str, object]]] = {
    "0002": {"verifications": {"seconds": 0.0, "evidence": "{}", "copies": ""}},
    "0003": {name: {"owner": ""} for name in ("volumes", "sets", "jobs", "events")},
}
"""By revision and table: columns it added, and what rows of before have there."""

ADDED_TABLES: dict[str, tuple[str, ...]] = {"0003": ("actions", "documents", "remarks", "measures")}
"""By revision: tables it added that are exported."""


def stored_revision(connection: Connection) -> str | None:
    """The revision of the catalog on `connection`, None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision


def is_current(connection: Connection) -> bool:
    """Whether the catalog has the schema of this version. NewerVersionError when a later one."""
    revision = stored_revision(connection)
    if revision is not None and revision not in REVISIONS:
        raise _newer(revision)
    return revision == HEAD


def _newer(revision: str) -> NewerVersionError:
    return NewerVersionError(
        f"the catalog has schema {revision}, which is newer than {HEAD}",
        hint="use the newer exshadow, or move the catalog away and run: exshadow catalog rebuild",
    )


def upgrade(connection: Connection) -> bool:
    """Upgrade inside the caller's transaction; True when something was done.

    NewerVersionError when the catalog has a revision that this version does not know.
    """
    if is_current(connection):
        return False
    _run_alembic(connection)
    return True


def _run_alembic(connection: Connection) -> None:
    # Imported only here: an up-to-date catalog, the usual case, never pays for alembic.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
