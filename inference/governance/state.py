"""What the governance stream says of a model: its versions, who judged them, what is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from inference.manifest import Promotion

STREAM: Final = "governance"
Action = Literal[
    "trained",
    "evaluated",
    "approved",
    "refused",
    "promoted",
    "shadowed",
    "rolled_back",
    "retired",
    "retraining",
]


@dataclass(frozen=True, slots=True)
class Step:
    """A row of the governance stream; ``attributes`` as they were sent."""

    seq: int
    event_time: datetime
    received_at: datetime
    action: str
    version: str
    actor: str
    digest: str | None
    attributes: Mapping[str, Any]
    row_hash: bytes


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule says of a version: ``sentence`` is the rule, ``expected`` and ``found`` this case."""

    rule: str
    sentence: str
    passed: bool
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """An approval or a refusal, at row ``seq`` of the chain."""

    seq: int
    actor: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A model version as the ledger has it.

    ``metrics`` and ``group_metrics`` are those of the latest evaluation.  ``evaluated_seq``, ``retired_seq``
    and ``promoted_seq`` (when it last became champion) are rows of the chain; None: it never happened.
    """

    version: str
    digest: str
    trainer: str
    trained_seq: int
    trained_at: datetime
    title: str = ""
    task: str = ""
    artefact_digest: str | None = None
    card_digest: str | None = None
    data_digest: str | None = None
    spec_digest: str | None = None
    promotion: Promotion = field(default_factory=lambda: Promotion.model_validate({}))
    metrics: Mapping[str, float] = field(default_factory=dict)
    group_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    evaluated_seq: int | None = None
    approvals: tuple[Judgement, ...] = ()
    refusals: tuple[Judgement, ...] = ()
    promoted_seq: int | None = None
    retired_seq: int | None = None

    @property
    def measured_seq(self) -> int:
        """The row of its latest training or evaluation, which an approval must follow."""
        return max(self.trained_seq, self.evaluated_seq or 0)

    @property
    def refusal(self) -> Judgement | None:
        """The refusal that stands: no approval came after it."""
        refused = self.refusals[-1] if self.refusals else None
        approved = self.approvals[-1].seq if self.approvals else 0
        return refused if refused is not None and refused.seq > approved else None


@dataclass(frozen=True, slots=True)
class Assignment:
    """The challenger: it answers ``share`` of the requests; 0: it answers beside, and nobody sees it."""

    version: str
    digest: str
    share: float


@dataclass(frozen=True, slots=True)
class Ignored:
    """A row that changed nothing, and the rule that it breaks; ``rules``: all verdicts, of a promotion."""

    seq: int
    action: str
    version: str
    actor: str
    rule: str
    sentence: str
    rules: tuple[RuleResult, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model after row ``seq`` of its chain, whose hash is ``row_hash``.

    ``former``: earlier champions, the latest last; a rollback goes back along it.
    ``trouble``: why the chain is not followed any further; what was last known stays.
    """

    model_id: str
    seq: int
    row_hash: bytes
    versions: Mapping[str, Version] = field(default_factory=dict)
    champion_version: str | None = None
    former: tuple[str, ...] = ()
    challenger: Assignment | None = None
    ignored: tuple[Ignored, ...] = ()
    retraining_at: datetime | None = None
    trouble: str | None = None

    @property
    def champion(self) -> Version | None:
        """The version that is served."""
        return None if self.champion_version is None else self.versions[self.champion_version]

    @property
    def title(self) -> str:
        """The title of the champion, else of the version trained last."""
        shown = self.champion or next(reversed(list(self.versions.values())), None)
        return "" if shown is None else shown.title

    def back_to(self) -> str | None:
        """The version that a rollback goes to: the latest former champion that is still fit to serve."""
        return next((name for name in reversed(self.former) if self.fit_again(name)), None)

    def fit_again(self, version: str) -> bool:
        """Whether a former champion has been neither retired nor refused since it was promoted."""
        found = self.versions[version]
        refused = any(refusal.seq > (found.promoted_seq or 0) for refusal in found.refusals)
        return found.retired_seq is None and not refused
