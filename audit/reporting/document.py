"""A report as people read it: the front page, then the sections in their order.

HTML and PDF render the same document, so that neither says what the other leaves out.  Long tables are capped
and say so; the workbook and the CSV files have every row.  Text from the fleet is made safe to show here
(``figures.clipped``) and escaped by whoever renders it.
"""

from __future__ import annotations

from audit.reporting.as_json import report_digest
from audit.reporting.blocks import Document
from audit.reporting.front import front_page
from audit.reporting.model import Report
from audit.reporting.sections_basis import corrections, disclosures, factors, parameters, restatement
from audit.reporting.sections_figures import broken, classes, materials, movement
from audit.reporting.sections_fleet import confusion, lots, machines, uncertainty
from audit.reporting.sections_proof import evidence, recheck, references
from audit.reporting.sections_rules import findings, invariants


def document(report: Report) -> Document:
    """The document of a report.

    Raises:
        Unrenderable: as ``report_digest``.
    """
    digest = report_digest(report)
    sections = [
        *broken(report),
        materials(report),
        movement(report),
        classes(report),
        invariants(report),
        findings(report),
        machines(report),
        lots(report),
        confusion(report),
        uncertainty(report),
        factors(report),
        disclosures(report),
        corrections(report),
        restatement(report),
        parameters(report),
        evidence(report, digest),
        recheck(report, digest),
        references(report),
    ]
    return Document(digest, front_page(report), tuple(sections))
