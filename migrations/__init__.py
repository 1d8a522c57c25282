"""Alembic's migrations: linear, reversible, the same on SQLite and Postgres."""
