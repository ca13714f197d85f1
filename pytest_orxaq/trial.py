"""One test and its attempts: set up, called and torn down, with one last report of each, and fresh for the next."""

from collections.abc import Callable
from typing import Any, Final, Literal

import pytest

from .flaky import HELD
from .terms import Terms


_SECTION: Final = "orxaq"  # of a report, with what it has to say on repetitions
_ENDS: Final = (pytest.exit.Exception, KeyboardInterrupt)
_When = Literal["setup", "call", "teardown"]


class Trial:
    """A test that is being run, for the first time or again."""

    def __init__(self, item: Any, nextitem: pytest.Item | None, terms: Terms | str, broken: list[Any]) -> None:
        self.item = item
        self.hook = item.ihook
        self.terms = terms
        self.number = 1  # of the attempt
        self.began = 0.0  # the attempt, on CLOCK_MONOTONIC
        self.pause: float | None = None  # seconds to wait before the next attempt
        self.kind = ""  # of the first attempt's failure, once the test is to be tried again
        self.epoch = 0  # of that kind, then
        self.calling = False  # the test's body runs
        self.held: list[Any] = []  # reports of subtests that failed in this attempt, kept back
        self.lost = False  # a subtest failed for good
        self.failed: list[Any] = []  # reports of earlier attempts
        self._errors: list[BaseException] = []  # of this attempt
        self._broken = broken
        self._nextitem = nextitem
        self._properties = len(item.user_properties)

    def phase(self, when: _When, action: Callable[[], None]) -> tuple[Any, Any]:
        """Do something and report on it; what wants the run to end passes through."""
        call: Any = pytest.CallInfo.from_call(action, when=when, reraise=_ENDS)
        return call, self.hook.pytest_runtest_makereport(item=self.item, call=call)

    def setup(self) -> None:
        self.hook.pytest_runtest_setup(item=self.item)
        if isinstance(self.terms, str):
            pytest.fail(self.terms, pytrace=False)

    def call(self) -> None:
        self.calling = True
        try:
            self.hook.pytest_runtest_call(item=self.item)
        finally:
            self.calling = False

    def hold(self, report: Any, call: pytest.CallInfo[None]) -> None:
        """Keep a subtest's failure back if the test may be tried again for it."""
        terms, error = self.terms, call.excinfo
        if isinstance(terms, Terms) and error is not None and self.number <= terms.retries and terms.allow(error.value):
            report.outcome = "rerun"
            setattr(report, HELD, error.typename)
            self.held.append(report)
            self._errors.append(error.value)
        else:
            self.lost = True

    def log(self, *reports: Any) -> None:
        for report in reports:
            self.hook.pytest_runtest_logreport(report=report)

    def interact(self, call: Any, report: Any) -> None:
        if report.failed and call.excinfo is not None:
            self.hook.pytest_exception_interact(node=self.item, call=call, report=report)

    def end(self, call: Any, report: Any) -> None:
        """Report the last attempt, and tear down all that the next test does not need."""
        self.log(report)
        self.interact(call, report)
        session = self.item.session
        nextitem = None if session.shouldfail or session.shouldstop else self._nextitem
        call, report = self.phase(
            "teardown", lambda: self.hook.pytest_runtest_teardown(item=self.item, nextitem=nextitem)
        )
        self.log(report)
        self.interact(call, report)

    def undo(self, call: Any, report: Any) -> Any:
        """Tear down the test and nothing around it; the report of what went wrong, if anything did."""
        self.interact(call, report)
        if report.failed:
            self._errors.append(call.excinfo.value)
        call, report = self.phase("teardown", self._undo)
        if not report.failed:
            return None
        self.interact(call, report)
        setups = self.item.session._setupstate  # noqa: SLF001
        rest = pytest.CallInfo.from_call(lambda: setups.teardown_exact(self._nextitem), when="teardown", reraise=_ENDS)
        if rest.excinfo is not None:
            report.sections.append((_SECTION, f"and around the test: {rest.excinfo.exconly()}"))
        return report

    def _undo(self) -> None:
        self.hook.pytest_runtest_teardown(item=self.item, nextitem=self.item.parent)
        for fixture in self._broken:
            remembered = fixture.cached_result[2] if fixture.cached_result is not None else None
            if remembered is not None and any(remembered[0] is error for error in self._errors):
                fixture.finish(self.item._request)  # noqa: SLF001 - or its error would be raised again, unasked

    def settle(self, report: Any, why: str) -> None:
        """Make the report of a last attempt that did not pass one of a failure, with all there is to know."""
        before = self.held or self.failed[-1:]
        if isinstance(self.terms, str) and hasattr(report, "wasxfail"):
            # That a test is expected to fail is no reason to overlook what is wrong with its marker.
            report.outcome, report.longrepr = "failed", self.terms
            del report.wasxfail
        elif not report.failed and before:
            # Skipped or xfailed at last: nothing has shown that the failure before it was not one.
            if report.skipped and not self.held:
                why = "failed, and was skipped or xfailed when tried again: that is no pass"
            report.outcome = "failed"
            report.longrepr = before[0].longrepr
            report.__dict__.pop("wasxfail", None)
        elif report.failed:
            report.sections += [(f"{_SECTION}: a subtest failed too", held.longreprtext) for held in self.held]
        if why:
            report.sections.append((_SECTION, why))

    def renew(self) -> None:
        """Forget the attempt that is over."""
        item = self.item
        self.number += 1
        self.pause = None
        self.held, self._errors = [], []
        del item.user_properties[self._properties :]
        item._report_sections.clear()  # noqa: SLF001
        if isinstance(item.parent, pytest.Class):
            item.__dict__.pop("_instance", None)  # each attempt has an object of its own
            item._obj = None  # noqa: SLF001 - it is bound to the old one
