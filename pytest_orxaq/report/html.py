"""A report as one HTML page: no script, nothing fetched, a policy that forbids both."""

import base64
import hashlib

from pathlib import Path
from typing import Any

from jinja2 import Undefined
from markupsafe import Markup

from ..core.escaping import ansi_to_html, visible
from .templates import environment, packaged
from .view import Report


def render(report: Report, overrides: Path | None = None, cache: Path | None = None) -> str:
    """The page."""
    jinja = environment(overrides, finalize=_shown, cache=cache)
    jinja.filters.update(ansi=_ansi, traceback=_traceback)
    sheet = _sheet(overrides)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    # The sheet is ours or the user's own; escaping it would change what it says.
    return jinja.get_template("report.html").render(report=report, sheet=Markup(sheet), digest=digest)  # noqa: S704


def _sheet(overrides: Path | None) -> str:
    own = overrides / "report.css" if overrides else None
    file = own if own and own.is_file() else packaged() / "report.css"
    return file.read_text(encoding="utf-8").replace("</", "<\\/")


def _shown(value: Any) -> Any:
    """Text with its control characters visible; Jinja escapes it afterwards."""
    if isinstance(value, (Undefined, Markup)) or not isinstance(value, str):
        return value
    return visible(value)


def _ansi(text: str) -> Markup:
    return Markup(ansi_to_html(text))  # noqa: S704 - escapes everything that it is given


def _traceback(text: str) -> Markup:
    """A traceback, its failing lines and errors set apart as pytest does by its first column."""
    marked = []
    for line in text.split("\n"):
        escaped = ansi_to_html(line)
        if line.startswith("E "):
            escaped = f'<span class="tb-error">{escaped}</span>'
        elif line.startswith(">"):
            escaped = f'<span class="tb-here">{escaped}</span>'
        marked.append(escaped)
    return Markup("\n".join(marked))  # noqa: S704 - escaped line by line
