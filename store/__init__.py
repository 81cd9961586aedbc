"""The only package that talks to PostgreSQL.  Its SQL is in ``store/sql``, a named query a file."""
