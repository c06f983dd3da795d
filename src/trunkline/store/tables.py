"""The tables as the newest revision has them. A change here wants a file in migrations/versions too."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
    true,
)


class Utc(TypeDecorator[datetime]):
    """An aware datetime, kept and given back in UTC; SQLite has no zones and PostgreSQL answers in its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


metadata = MetaData()

organisations = Table(
    "organisations",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("created", Utc, nullable=False),
)

callers = Table(
    "callers",
    metadata,
    Column("prefix", String(16), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
    Column("name", String(80), nullable=False),
    Column("organisation", ForeignKey("organisations.name", name="fk_callers_organisation"), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created", Utc, nullable=False),
    Column("revoked", Utc),
    Column("expires", Utc),
    UniqueConstraint("hash", name="uq_callers_hash"),
)

# No foreign key to callers: where nobody has a key, the anonymous caller may still repeat a call.
idempotency = Table(
    "idempotency",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("organisation", String(80), nullable=False),
    Column("caller", String(80), nullable=False),
    Column("key", String(255), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("claim", String(32), nullable=False),
    Column("until", Utc, nullable=False),
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("created", Utc, nullable=False),
    Column("headers", JSON(none_as_null=True)),
    UniqueConstraint("organisation", "caller", "key", name="uq_idempotency_key"),
    Index("ix_idempotency_created", "created"),
)

# A row a change, never removed. One that is in its role still has no end; one that ended a role ends as it begins.
catalog = Table(
    "catalog",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("product", String(80), nullable=False),
    Column("version", String(80), nullable=False),
    Column("digest", String(80), nullable=False),
    Column("role", String(10), nullable=False),
    Column("share", Float, nullable=False),
    Column("created", Utc, nullable=False),
    Column("who", String(120), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("ended", Utc),
    Column("how", String(10), nullable=False, server_default="deploy"),
    Column("passed", Boolean, nullable=False, server_default=true()),
    Column("figures", JSON, nullable=False, server_default="{}"),
    CheckConstraint("role IN ('live', 'canary', 'shadow')", name="ck_catalog_role"),
    CheckConstraint("share > 0 AND share <= 100", name="ck_catalog_share"),
    Index(
        "uq_catalog_role",
        "product",
        "role",
        unique=True,
        sqlite_where=text("ended IS NULL"),
        postgresql_where=text("ended IS NULL"),
    ),
    Index("ix_catalog_product", "product", "id"),
)

# What all processes together counted of a product since its versions last changed: `record.Tally`.
traffic = Table(
    "traffic",
    metadata,
    Column("product", String(80), primary_key=True),
    Column("tally", JSON, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("product", String(80), nullable=False),
    Column("organisation", String(80), nullable=False),
    Column("owner", String(80), nullable=False),
    Column("request", JSON, nullable=False),
    Column("state", String(10), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("holder", String(80)),
    Column("lease", Utc),
    Column("result", JSON(none_as_null=True)),
    Column("created", Utc, nullable=False),
    Column("place", String(32), nullable=False, server_default=""),
    Column("total", Integer),
    Column("errors", Integer, nullable=False, server_default="0"),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("parts", JSON, nullable=False, server_default="[]"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("turn", Utc),
    Column("ended", Utc),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="ck_jobs_state"),
    Index("ix_jobs_state", "state", "created"),
)
