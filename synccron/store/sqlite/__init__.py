"""The store of one host: a SQLite file."""
