"""The chapters of the auditor: the ledger verifies, somebody cheats, it says where, it verifies again."""

from __future__ import annotations

from tally.demo import attack
from tally.demo.fleet import FLEET
from tally.demo.stage import Stage
from tally.demo.story import Story


def verify(story: Story, on: Stage, when: str) -> None:
    """Everything is recomputed and found whole."""
    report = on.tally("verify")
    story.summary[f"verification_{when}"] = report
    story.say(f"$ tally verify    {report['rows']:,} rows in {report['chains']:,} chains")
    story.check(report["ok"], "INTACT: every row is the one that its chain was built with, none is missing")


def cheat(story: Story, on: Stage) -> attack.Target:
    """A superuser makes a deposit heavier; returns which."""
    target = attack.choose(on.admin_url, FLEET)
    before = attack.reported_mg(on.admin_url, FLEET)
    answer = attack.refused(on.admin_url, target)
    story.say(f"a plain UPDATE does not work: {answer}")
    attack.write(on.admin_url, target, target.forged_mg)
    after = attack.reported_mg(on.admin_url, FLEET)
    story.say("so the trigger is switched off, one value changed, the trigger switched on again:")
    story.say(
        f"one {target.material} deposit of {target.mass_mg / 1000:,.1f} g "
        f"now weighs {target.forged_mg / 1000:,.1f} g;"
    )
    story.say(f"the mass that the fleet has recycled rises from {before / 1e6:,.2f} to {after / 1e6:,.2f} kg")
    story.summary["attack"] = {
        "stream": "transactions",
        "machine": target.machine,
        "seq": target.seq,
        "column": "mass_mg",
        "from": target.mass_mg,
        "to": target.forged_mg,
        "figure_mg": {"before": before, "after": after},
    }
    return target


def expose(story: Story, on: Stage, target: attack.Target) -> None:
    """The verification names the row."""
    report = on.tally("verify")
    story.summary["verification_attacked"] = report
    story.say(f"$ tally verify    {report['rows']:,} rows in {report['chains']:,} chains")
    for found in report["breaks"]:
        story.say(f"[red]BROKEN[/]  {found['stream']} {found['chain']} row {found['seq']}: {found['kind']}")
    named = [(found["stream"], found["chain"], found["seq"]) for found in report["breaks"]]
    story.check(
        not report["ok"] and named == [("transactions", target.machine, target.seq)],
        "it names exactly the stream, the machine and the row, and nothing else",
    )


def restore(story: Story, on: Stage, target: attack.Target) -> None:
    """The value is put back, and all is whole again."""
    attack.write(on.admin_url, target, target.mass_mg)
    verify(story, on, "after")
