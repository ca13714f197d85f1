"""How tests that were tried again are told: on the terminal, in JUnit, and where a worker of pytest-xdist was killed.

Lives where reports arrive: in the process that runs the tests, or in the controller of those that do.
"""

import contextlib
import json
import math
import time

from collections.abc import Callable, Generator
from typing import Any, Final

import pytest


# Attributes of reports. Text only: what execnet cannot carry kills an xdist worker (xdist#1017).
AGAIN: Final = "orxaq_again"  # of a failure after which the test is tried again: JSON
HELD: Final = "orxaq_held"  # of a subtest's failure, while nobody knows what becomes of the test: the exception's type

SPENT: Final = "the retries that this run may make at all levels (ORXAQ_RETRIES) are spent"
_KILLED: Final = -9  # SIGKILL, mostly the kernel's for want of memory; other signals are the code's doing
_RETRIES_OF_A_CRASH: Final = 1
_DYING: Final = 5  # seconds, the most that the kernel may take to clear a killed process away


class Flaky:
    """Gathers the attempts of tests, and tells of them when their tests are over."""

    def __init__(
        self, config: pytest.Config, *, crashes_until: float | None = None, spend: Callable[[], bool] = lambda: True
    ) -> None:
        """``spend``: takes one of the retries that all levels share, if one is left, and says whether."""
        self._config = config
        self._spend = spend
        # Until when, on CLOCK_MONOTONIC, a test whose worker was killed may be tried again.
        self._crashes_until = -math.inf if crashes_until is None else crashes_until
        self._attempts: dict[str, list[Any]] = {}  # reports of failed attempts, by test
        self._bad: set[str] = set()  # tests that failed at last
        self._ended: set[str] = set()
        self._killed: list[tuple[str, Any]] = []  # tests and their workers, which are tried again

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, Any] | None:
        """An attempt is an R; a subtest that is kept back is nothing yet."""
        if hasattr(report, AGAIN):
            return "rerun", "R", ("RERUN", {"yellow": True})
        return ("", "", "") if hasattr(report, HELD) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note an attempt; at a test's end, give its element in the JUnit file what went before."""
        id = report.nodeid
        if hasattr(report, AGAIN):
            self._attempts.setdefault(id, []).append(report)
        elif id in self._attempts and not hasattr(report, HELD):
            if report.failed:
                self._bad.add(id)
            if report.when in {"teardown", "???"}:
                self._ended.add(id)
                with contextlib.suppress(AttributeError, KeyError, TypeError):  # a report must not fail a run
                    _complete(self._config, report, self._attempts[id], flaky=id not in self._bad)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Let a test run once more if its worker was killed: that is the machine's doing."""
        tried = [id for id, _ in self._killed].count(crashitem)
        late = time.monotonic() >= self._crashes_until
        if late or tried >= _RETRIES_OF_A_CRASH or not _was_killed(report.node):
            return
        if not self._spend():
            report.longrepr += f" (SIGKILL; not tried again: {SPENT})"
            return
        try:
            sched.mark_test_pending(crashitem)
        except NotImplementedError:  # --dist loadscope and its kin
            return
        self._killed.append((crashitem, report.node))
        report.longrepr += " (SIGKILL)"
        report.outcome = "rerun"
        facts = {"attempt": len(self._attempts.get(crashitem, ())) + 1, "exception": "SIGKILL", "pause": 0.0}
        setattr(report, AGAIN, json.dumps(facts))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """What was to be tried again, and was not, has failed: with --max-worker-restart there may be no worker left."""
        result = yield
        for id, reports in self._attempts.items():
            if id not in self._ended:
                self._give_up(id, reports[-1])
        return result

    def _give_up(self, id: str, last: Any) -> None:
        why = f"{_said(last)}\nnot tried again: there was no worker left to do it"
        report: Any = pytest.TestReport(id, last.location, {}, "failed", why, "???")  # type: ignore[arg-type]
        report.node = last.node
        self._killed = [each for each in self._killed if each != (id, last.node)]  # its element in JUnit stays
        self._config.hook.pytest_runtest_logreport(report=report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave nothing in the JUnit file that could pass for a test which passed."""
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            writer = _writer(self._config)
            for (id, node), element in list(writer.node_reporters.items()) if self._killed else ():
                if (str(id), node) in self._killed:  # what a worker had reported when it was killed
                    writer.node_reporters_ordered.remove(element)
            for id, reports in self._attempts.items():
                if id not in self._ended:
                    _complete(self._config, reports[-1], reports[:-1], flaky=False)
                    _condemn(writer, reports[-1])

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """List the tests that were tried again, with what failed before."""
        if not self._attempts:
            return
        terminalreporter.section("tests tried again", yellow=True)
        for id, reports in self._attempts.items():
            word = "FAILED" if id in self._bad else "FLAKY" if id in self._ended else "UNFINISHED"
            terminalreporter.line(f"{word} {id}", yellow=word == "FLAKY", red=word != "FLAKY")
            for report in reports:
                terminalreporter.line(f"  {_told(report)}")
                if terminalreporter.verbosity > 0 and hasattr(report.longrepr, "toterminal"):
                    report.longrepr.toterminal(terminalreporter._tw)  # noqa: SLF001 - as its own FAILURES do


def _was_killed(node: Any) -> bool:
    """Whether a worker that cannot be heard any more was ended by SIGKILL; one on another machine says nothing of it."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    try:
        return process is not None and process.wait(_DYING) == _KILLED
    except Exception:  # noqa: BLE001 - it lives on, and has only closed what it was heard by
        return False


def _told(report: Any) -> str:
    """An attempt in a line."""
    facts = json.loads(getattr(report, AGAIN))
    phase = "" if report.when in {"call", "???"} else f" in its {report.when}"
    waited = f"; tried again after {facts['pause']:.1f} s" if facts["pause"] else ""
    return f"attempt {facts['attempt']} failed{phase}: {_said(report)[:300]}{waited}"


def _said(report: Any) -> str:
    """The exception in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    # The text that pytest makes of a report begins, with xdist, with the worker's name.
    lines = str(crash.message if crash is not None else report.longrepr).strip().splitlines() or [""]
    return lines[0]


# ------------------------------------------------------------------ JUnit


def _writer(config: pytest.Config) -> Any:
    from _pytest.junitxml import xml_key  # noqa: PLC0415 - not there with -p no:junitxml

    return config.stash.get(xml_key, None)


def _complete(config: pytest.Config, report: Any, attempts: list[Any], *, flaky: bool) -> None:
    """Add the failures of earlier attempts to a test's element, in the form that Maven's surefire gave them."""
    writer = _writer(config)
    if writer is None:
        return
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - the writer has loaded it

    element = writer.node_reporter(report)
    for attempt in attempts:
        kind = "Error" if attempt.when == "setup" else "Failure"
        child = ET.Element(f"{'flaky' if flaky else 'rerun'}{kind}", message=_clean(_said(attempt)[:500]))
        child.set("type", _clean(json.loads(getattr(attempt, AGAIN))["exception"]))
        ET.SubElement(child, "stackTrace").text = _clean(attempt.longreprtext)
        for title, tag in (("stdout", "system-out"), ("stderr", "system-err")):
            text = "".join(body for name, body in attempt.sections if name.startswith(f"Captured {title}"))
            if text:
                ET.SubElement(child, tag).text = _clean(text)
        element.nodes.append(child)


def _condemn(writer: Any, report: Any) -> None:
    """Make an attempt that was to be followed by another one, and was not, a failure."""
    element = writer.node_reporter(report)
    element.record_testreport(report)
    (element.append_error if report.when == "setup" else element.append_failure)(report)


def _clean(text: str) -> str:
    from .core.escaping import plain  # noqa: PLC0415 - only where something failed

    return plain(text)
