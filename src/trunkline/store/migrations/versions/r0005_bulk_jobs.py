"""What a long job needs so that it can be followed and taken up again by any worker of its place."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("place", sa.String(32), nullable=False, server_default=""),
        sa.Column("total", sa.Integer),
        sa.Column("errors", sa.Integer, nullable=False, server_default="0"),
        sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
        sa.Column("parts", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("turn", _TIME),
        sa.Column("ended", _TIME),
    ):
        op.add_column("jobs", column)
