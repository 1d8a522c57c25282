"""One conformance suite for the store, run on SQLite and on Postgres."""
