"""A durable outbox: OTLP requests kept on disk until the collector has committed them.

For every component whose events are evidence and that must not wait for the collector.  ``spool`` keeps them,
``sender`` speaks OTLP/gRPC, ``forwarder`` brings the one to the other.
"""
