"""A real PostgreSQL with TimescaleDB, run as a plain process without touching the system it runs on."""
