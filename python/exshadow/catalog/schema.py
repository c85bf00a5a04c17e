"""Tables of the catalog. The volume files stay the truth about data; these are facts beside it.

Times are RFC 3339 UTC text, sizes bytes. Nothing here is special to SQLite.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()


def _owner(*, key: bool = False) -> Column[str]:
    """Whose row it is when several hosts share a catalog: the id of a state folder; empty in a
    catalog that one has to itself. Every query names it."""
    return Column("owner", String(36), nullable=False, server_default="", primary_key=key)


volumes = Table(
    "volumes",
    metadata,
    _owner(key=True),
    Column("name", String(64), primary_key=True),
    Column("uuid", String(36), nullable=False),
    Column("group", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("region_size", BigInteger, nullable=False),
    Column("plex_paths", Text, nullable=False),
    Column("recorded", String(32), nullable=False),
)

sets = Table(
    "sets",
    metadata,
    _owner(),
    Column("id", String(36), primary_key=True),
    Column("label", String(64), nullable=False),
    Column("group", String(64), nullable=False),
    Column("created", String(32), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("consistency", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("pinned_until", String(32)),
    Column("hold_us", BigInteger, nullable=False),
    Index("sets_by_group", "group", "created"),
)

members = Table(
    "members",
    metadata,
    Column("set_id", ForeignKey("sets.id", ondelete="CASCADE"), primary_key=True),
    Column("volume", String(64), primary_key=True),
    Column("plex", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
)

verifications = Table(
    "verifications",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("set_id", ForeignKey("sets.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("check", String(32), nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("at", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("evidence", Text, nullable=False, server_default="{}"),  # JSON, bounded
    Column("copies", Text, nullable=False, server_default=""),  # model.Verification says what
)

jobs = Table(
    "jobs",
    metadata,
    _owner(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("volume", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("started", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("bytes_copied", BigInteger, nullable=False),
    Column("bytes_zeroed", BigInteger, nullable=False),
    Column("bytes_total", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", Text, nullable=False),
    Index("jobs_by_volume", "volume", "started"),
)

events = Table(
    "events",
    metadata,
    _owner(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("volume", String(64), nullable=False),
    Column("text", Text, nullable=False),
)

actions = Table(
    "actions",  # what a provider was asked to do, written before it starts
    metadata,
    _owner(),
    Column("id", String(36), primary_key=True),
    Column("run_id", String(36), nullable=False, index=True),
    Column("group", String(64), nullable=False, index=True),
    Column("provider", String(32), nullable=False),
    Column("verb", String(16), nullable=False),
    Column("set_id", String(36), nullable=False, server_default=""),
    Column("asked", Text, nullable=False),  # JSON: Action.to_json
    Column("state", String(16), nullable=False),  # started, done, failed, refused, undone
    Column("started", String(32), nullable=False),
    Column("ended", String(32)),
    Column("detail", Text, nullable=False, server_default=""),
)

leases = Table(
    "leases",  # who may change a volume, when several hosts share the catalog
    metadata,
    Column("volume", String(255), primary_key=True),  # uuid of a volume, or what tells it apart
    Column("holder", String(255), nullable=False),
    Column("token", BigInteger, nullable=False),  # grows with every new holder, never repeats
    Column("purpose", Text, nullable=False, server_default=""),
    Column("until", Float, nullable=False),  # seconds since 1970 by the database's clock
)

documents = Table(
    "documents",  # files that a set's restore may need
    metadata,
    _owner(),
    Column("set_id", String(36), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("content", Text, nullable=False),  # base64
    Column("paths", Text, nullable=False, server_default="[]"),  # JSON: where else it lies
    Column("recorded", String(32), nullable=False),
)

remarks = Table(
    "remarks",  # what people did to a set and why: unpinned, deleted by hand
    metadata,
    _owner(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("set_id", String(36), nullable=False, index=True),
    Column("at", String(32), nullable=False),
    Column("what", String(32), nullable=False),
    Column("reason", Text, nullable=False),
)

measures = Table(
    "measures",  # what a run measured of its set, for what is usual of the group
    metadata,
    _owner(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("group", String(64), nullable=False, index=True),
    Column("set_id", String(36), nullable=False),
    Column("at", String(32), nullable=False),
    Column("name", String(32), nullable=False),
    Column("value", Float, nullable=False),
)
