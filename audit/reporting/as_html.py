"""A report as one HTML file: no script, no request to anywhere, nothing that a policy would have to allow.

The content security policy forbids everything but the one style sheet, by its hash: text which escaped the
escaping could still load and run nothing.  Every text is escaped by Jinja; nothing is marked safe but the
charts, which escape their own.  Equal reports give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from audit.reporting.blocks import Command, Details, Document, Heading, Table, Text
from audit.reporting.document import document
from audit.reporting.marks import INKS, Chart, to_svg
from audit.reporting.model import Report

_FOLDER: Final = resources.files(__package__) / "templates"


def render(report: Report) -> bytes:
    """The report as HTML, UTF-8.

    Raises:
        Unrenderable: as ``as_json.render``.
    """
    return render_document(document(report))


def render_document(shown: Document) -> bytes:
    """The document as HTML, UTF-8."""
    style = _style().replace("REPORT-DIGEST", shown.digest)
    policy = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    html = _template().render(
        document=shown,
        style=Markup(style),  # noqa: S704 - our own file, with a hexadecimal digest in it
        style_hash=policy,
        anchors=Anchors(),
    )
    return html.encode()


class Anchors:
    """Gives each ref one anchor: the first cell that shows it."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def take(self, ref: str) -> str:
        """The id for ``ref``, which any text may be; "" if it is given already."""
        if not ref or ref in self._given:
            return ""
        self._given.add(ref)
        return anchor(ref)


def anchor(ref: str) -> str:
    """An id that is a valid fragment of a URL."""
    return "ref-" + quote(ref, safe=":.,-_")


@cache
def _style() -> str:
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    for name, colour in INKS.items():
        style = style.replace(f"INK-{name.upper()}", colour)
    return style


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["svg"] = to_svg
    environment.filters["anchor"] = anchor
    environment.filters["soft"] = _soft
    environment.filters["kind"] = _kind
    return environment.from_string((_FOLDER / "report.html.j2").read_text(encoding="utf-8"))


def _soft(text: str) -> Markup:
    """The text, escaped, that may be broken after an underscore."""
    return Markup(str(escape(text)).replace("_", "_<wbr>"))  # noqa: S704 - escaped in the same line


def _kind(block: Text | Heading | Command | Table | Chart | Details) -> str:
    return type(block).__name__.lower()
