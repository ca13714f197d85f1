"""A report as Markdown, for pull requests and step summaries, within a budget of bytes.

GitHub throws away a summary that is too large, whole. So a report that does not fit says less and less, down to its
first sentence, and says that it did.
"""

from pathlib import Path
from typing import Any

from jinja2 import Undefined
from markupsafe import Markup

from ..core.escaping import markdown_block, markdown_inline, markdown_text
from .templates import environment
from .view import Excerpt, Report


BUDGET = 1_000_000  # bytes; GitHub's limit for the summary of one step is 1 MiB

_LEVELS = (
    ("full", ""),
    (
        "messages",
        "Tracebacks, captured output and machine state were left out to keep this short; the HTML report has them.",
    ),
    ("names", "Only the names of failing tests are shown to keep this short; the HTML report has the rest."),
    ("counts", "Only counts are shown to keep this short; the HTML report has the rest."),
    ("verdict", "Only the verdict is shown to keep this short; the HTML report has the rest."),
)


def render(report: Report, overrides: Path | None = None, cache: Path | None = None, *, budget: int = BUDGET) -> str:
    """The most that fits into `budget` bytes of UTF-8."""
    jinja = environment(overrides, finalize=_shown, cache=cache)
    jinja.filters.update(code=_code, block=_block, source=_source)
    template = jinja.get_template("report.md")
    text = ""
    for level, said in _LEVELS:
        text = template.render(report=report, level=level, cut=said)
        if len(text.encode()) <= budget:
            break
    return text


def _shown(value: Any) -> Any:
    """Every value that no filter has made safe is plain words."""
    if isinstance(value, (Undefined, Markup)) or value is None:
        return value
    return Markup(markdown_text(str(value)))  # noqa: S704 - every punctuation mark is escaped


def _code(text: str) -> Markup:
    return Markup(markdown_inline(text))  # noqa: S704 - every punctuation mark is escaped


def _block(text: str) -> Markup:
    return Markup(markdown_block(text))  # noqa: S704 - HTML is escaped, and a <pre> cannot be left


def _source(excerpt: Excerpt) -> Markup:
    lines = [f"{'>' if line.marked else ' '} {line.number:>5}  {line.text}" for line in excerpt.lines]
    return _block("\n".join((excerpt.place, *lines)))
