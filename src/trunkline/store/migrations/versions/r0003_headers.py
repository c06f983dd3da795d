"""Headers of kept answers: not all of them are JSON."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("idempotency", sa.Column("headers", sa.JSON))
