"""What the sealer tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from audit.sealing.sealer import Round
from audit.sealing.witnesses import Answer
from ledger.policies import Policy


class SealerMetrics:
    """The sealer's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.size = self._gauge("tally_sealer_tree_size", "Leaves of the head that was published last.")
        self.published = self._gauge(
            "tally_sealer_checkpoint_timestamp_seconds", "When the head that was published last was sealed."
        )
        self.witnessed_size = self._gauge(
            "tally_sealer_witnessed_tree_size", "Leaves of the last head that the policy's quorum cosigned."
        )
        self.witnessed = self._gauge(
            "tally_sealer_witnessed_timestamp_seconds", "When that head was sealed; 0 if there is none."
        )
        self.quorum = self._gauge(
            "tally_sealer_quorum", "1 if the head that was published last has its quorum, else 0."
        )
        self.left_out = self._gauge(
            "tally_sealer_left_out_chains", "Chains that can't be sealed, because rows of theirs are missing."
        )
        self.forked = self._gauge(
            "tally_sealer_fork_refused",
            "1 while database, published log and witnesses contradict each other.",
        )
        self.active = self._gauge("tally_sealer_active", "1 if this is the one sealer, 0 while another is.")
        self.rows = Counter("tally_sealer_rows_total", "Rows that were sealed.", registry=self.registry)
        self.checkpoints = Counter(
            "tally_sealer_checkpoints_total", "Checkpoints that were published.", registry=self.registry
        )
        self.failures = Counter(
            "tally_sealer_failures_total", "Rounds that failed.", ["reason"], registry=self.registry
        )
        self.witness_up = Gauge(
            "tally_sealer_witness_cosigned",
            "1 if the witness cosigned the head that was published last, else 0.",
            ["witness"],
            registry=self.registry,
        )
        self.witness_failures = Counter(
            "tally_sealer_witness_failures_total",
            "Requests to a witness that gave no cosignature.",
            ["witness", "reason"],
            registry=self.registry,
        )
        self.timestamps = Counter(
            "tally_sealer_timestamp_failures_total",
            "Checkpoints for which the timestamping authority gave no token.",
            registry=self.registry,
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def sealed(self, done: Round) -> None:
        """After a round."""
        self.rows.inc(done.rows)
        self.left_out.set(len(done.left_out))
        if done.head is not None:
            self.size.set(done.head.batch.size)
            self.published.set(done.head.batch.sealed_at.timestamp())

    def asked(self, policy: Policy, answers: list[Answer]) -> None:
        """After the witnesses were asked."""
        for answer in answers:
            self.witness_up.labels(answer.witness.name).set(1 if answer.signatures else 0)
            if answer.reason is not None:
                self.witness_failures.labels(answer.witness.name, answer.reason).inc()
        for witness in policy.witnesses:
            self.witness_up.labels(witness.name)
