"""What every long-running program here shares: logs, an HTTP server, readiness; it knows none of them."""
