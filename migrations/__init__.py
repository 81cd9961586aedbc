"""Schema migrations: Alembic revisions whose SQL is frozen once released."""
