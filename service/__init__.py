"""What programs here share: logs, an HTTP server, readiness, signing keys; it knows none of them."""
