"""Alembic's folder: one file a revision in versions/, never changed once it was released."""
