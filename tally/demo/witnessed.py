"""The chapters of the log: an auditor's witness, a history rewritten without a flaw, and what exposes it."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from audit.sealing.log_files import CHECKPOINT, WITNESSED, LogFiles
from audit.sealing.parts import read_policy
from audit.sealing.witnesses import Witnesses
from ledger.checkpoints import Checkpoint
from service.keys.sources import load_signing_key
from store.seals import SealStore
from tally.demo import attack
from tally.demo.auditor import Auditor
from tally.demo.fleet import FLEET
from tally.demo.rewriting import Rewriter
from tally.demo.stage import Stage
from tally.demo.story import Story

_WITNESSED_S: Final = 30.0


def witness(story: Story, on: Stage, auditor: Auditor) -> None:
    """The auditor's witness cosigns what the sealer has published; one row is proven out of it."""
    before = LogFiles(on.log_dir)
    story.check(
        before.note() is not None and before.note(WITNESSED) is None,
        "the sealer has signed and published the log since the start, as not yet witnessed",
    )
    auditor.start_witness()
    story.say("$ tally witness serve --key witness.key --policy policy    elsewhere, with its own state")
    head = _cosigned(on)
    auditor.copy_log(on.log_dir)
    story.say(
        f"the log has {head.size:,} leaves: every row, and a statement of all chains' heads for each batch"
    )
    story.check(
        head.size > 0, "the witness cosigned it: from now on nobody can show another history of these rows"
    )
    target = attack.choose(on.admin_url, FLEET)
    proof = auditor.folder / "row.proof"
    made = on.tally("prove", "transactions", target.machine, str(target.seq), "-o", str(proof))
    story.say(f"$ tally prove transactions {target.machine} {target.seq} -o row.proof")
    told = on.tally("prove", "--check", str(proof), "--policy", str(auditor.policy))
    story.say(
        f"$ tally prove --check row.proof --policy policy    {proof.stat().st_size:,} bytes, no database"
    )
    story.check(
        told["ok"] and told["row_hash"] == made["row_hash"],
        f"the row is leaf {told['index']:,} of {told['size']:,}, cosigned by {told['cosigned'][0]['name']}"
        if told["ok"]
        else "the row is proven",
    )
    story.summary["witnessed"] = {"size": head.size, "root": head.root.hex(), "proof": made, "checked": told}


def rewrite(story: Story, on: Stage, folder: Path, auditor: Auditor) -> None:
    """The operator alters a row and makes all else fit: the chains are whole, the witness is not deceived."""
    target = attack.choose(on.admin_url, FLEET)
    before = attack.reported_mg(on.admin_url, FLEET)
    forged = folder / "rewritten-log"
    shutil.rmtree(forged, ignore_errors=True)
    with Rewriter(on.admin_url) as rewriter:
        try:
            note = rewriter.rewrite(target, forged, load_signing_key(str(on.secrets_dir / "log.key")))
            after = attack.reported_mg(on.admin_url, FLEET)
            story.say(
                f"one {target.material} deposit of {target.mass_mg / 1000:,.1f} g becomes "
                f"{target.forged_mg / 1000:,.1f} g, the fleet's mass {after / 1e6:,.2f} kg"
            )
            story.say(
                "its hash and all after it, the chain's head, the seals, every tree and tile are made again,"
            )
            story.say("and the log's own key signs the new head: nothing in database or log is out of place")
            report = on.tally("verify")
            story.say(f"$ tally verify    {report['rows']:,} rows in {report['chains']:,} chains")
            story.check(report["ok"] and after > before, "INTACT, say the chains: they can't know better")
            _refused(story, forged, auditor)
            _exposed(story, on, forged, auditor, target)
            story.summary["rewriting"] |= {
                "checkpoint": str(note),
                "figure_mg": {"before": before, "after": after},
            }
        finally:
            rewriter.restore()
    told = _held(on, auditor)
    story.check(
        bool(told["ok"]) and bool(told["against"]["ok"]), "put back, the ledger meets the cosigned head again"
    )


def _refused(story: Story, forged: Path, auditor: Auditor) -> None:
    """What the witness answers to the rewritten head."""
    files = LogFiles(forged)
    note = files.note(CHECKPOINT)
    assert note is not None, "it was signed just now"
    with closing(Witnesses(read_policy(auditor.policy), files.read)) as witnesses:
        (answer,) = witnesses.ask(note)
    story.say(f"the witness is asked to cosign it: [red]{escape(str(answer.trouble))}[/]")
    kept = list((auditor.folder / "state" / "forks").glob("*.note"))
    story.check(
        not answer.signatures and answer.reason == "contradicted" and len(kept) == 2,
        "it refuses, and keeps both heads, signed by one key: evidence against the log",
    )
    story.summary["rewriting"] = {"witness": answer.trouble, "reason": answer.reason}


def _exposed(story: Story, on: Stage, forged: Path, auditor: Auditor, target: attack.Target) -> None:
    """What the policy says of the rewritten ledger, and of the rewritten log."""
    report = _held(on, auditor)
    story.say("$ tally verify --against policy --log copy-of-the-log")
    rows = []
    for head in report["against"]["heads"]:
        story.say(f"[red]{head['verdict'].upper()}[/]  {escape(head['source'])}")
        story.say(f"  {escape(head['detail'])}")
        rows.append(head["row"])
    wanted = {"stream": "transactions", "chain": target.machine, "seq": target.seq}
    story.check(
        report["ok"] and not report["against"]["ok"] and all(row == wanted for row in rows),
        "the cosigned head exposes it, and names the row from which on history is another",
    )
    kept = auditor.log / CHECKPOINT
    compared = on.tally("prove-consistency", str(kept), "--log", str(forged))
    story.say(f"$ tally prove-consistency kept/checkpoint --log {forged.name}")
    story.check(not compared["ok"], "the operator's new log does not continue the one that the auditor kept")
    story.summary["rewriting"] |= {"against": report["against"], "consistency": compared}


def _held(on: Stage, auditor: Auditor) -> dict[str, Any]:
    return on.tally("verify", "--against", str(auditor.policy), "--log", str(auditor.log))


def _cosigned(on: Stage) -> Checkpoint:
    """The head with its quorum, once it has every row that there is."""
    files = LogFiles(on.log_dir)
    deadline = time.monotonic() + _WITNESSED_S
    with SealStore(on.audit_url) as store:
        while True:
            head, witnessed = files.note(), files.note(WITNESSED)
            whole = head is not None and witnessed is not None and head.text == witnessed.text
            if (whole and not store.moved()) or time.monotonic() > deadline:
                return Checkpoint("", 0, b"") if witnessed is None else Checkpoint.parse(witnessed.text)
            time.sleep(0.1)
