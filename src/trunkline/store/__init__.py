"""What must outlive the process: callers and their keys, kept answers, the catalog's placements, jobs.

One small SQL database: SQLite beside the products, or PostgreSQL by URL. `database.open_store` opens it; one
module of functions for each table; no SQL anywhere else. Importing this package loads no SQL library.
"""
