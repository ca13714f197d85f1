"""Write a run's reports: HTML, Markdown, JUnit and JSON, each whole or not at all."""

import json
import os

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import TemplateSyntaxError

from ..core.redaction import NONE, Secrets, redacted
from ..errors import MachineError
from ..model import RunRecord
from . import data, junit
from . import html as html_page
from . import markdown as markdown_page
from .assemble import assemble
from .view import Report
from .words import brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where the reports are."""

    html: Path
    markdown: Path
    junit: Path
    json: Path
    notes: tuple[str, ...] = ()  # a template of the user's that could not be used, and why


def write(
    record: RunRecord,
    directory: Path,
    *,
    top: Path,
    now: float,
    overrides: Path | None = None,
    cache: Path | None = None,
    secrets: Secrets = NONE,
) -> Written:
    """Write all reports on a run; `overrides` is a folder with templates of the user's own, `cache` one for our use."""
    record = redacted(record, secrets)
    report = assemble(record, top=top, now=now, secrets=secrets)
    page, page_note = _page(html_page.render, report, overrides, cache)
    summary, summary_note = _page(markdown_page.render, report, overrides, cache)
    written = Written(
        html=directory / "report.html",
        markdown=directory / "report.md",
        junit=directory / "junit.xml",
        json=directory / "report.json",
        notes=tuple(note for note in (page_note, summary_note) if note),
    )
    _save(written.json, json.dumps(data.of_run(record), ensure_ascii=False, indent=1).encode())
    _save(written.junit, junit.render(record))
    _save(written.markdown, summary.encode())
    _save(written.html, page.encode())
    return written


def markdown(report: Report) -> str:
    """The report as Markdown."""
    return markdown_page.render(report)


def html(report: Report) -> str:
    """The report as one HTML page."""
    return html_page.render(report)


def _page(
    render: Callable[[Report, Path | None, Path | None], str],
    report: Report,
    overrides: Path | None,
    cache: Path | None,
) -> tuple[str, str]:
    """A page, and why the user's own template was not used for it, if so."""
    if overrides is None:
        return render(report, None, cache), ""
    try:
        return render(report, overrides, cache), ""
    except Exception as error:  # noqa: BLE001 - a template may raise anything, and the report is needed nevertheless
        note = f"A template of yours could not be used, the built-in one was: {_place(error, overrides)}: {brief(str(error))}"
    return render(replace(report, notes=(note, *report.notes)), None, cache), note


def _place(error: Exception, overrides: Path) -> str:
    """Template and line of a mistake."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename or error.name}:{error.lineno}"
    import traceback  # noqa: PLC0415 - only for mistakes in templates

    # Jinja rewrites tracebacks so that they name the template's own lines.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(overrides))]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(overrides)


def _save(path: Path, content: bytes) -> None:
    """Put a file in place, whole: a reader sees the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(
            f"The report {path} cannot be written: {error.strerror}.",
            advice="Make room or choose another place with --report-dir.",
        ) from error
