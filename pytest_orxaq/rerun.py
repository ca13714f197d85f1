"""Try a test again, in place, where its failure is typed transient or the test is declared to be.

pytest's own order of things is kept, with one decision more: *before* a failed test is torn down it is decided whether
it is tried again. If so, only the test itself is torn down, so that the fixtures of its class, module and session live
on; its own are made afresh. A test has one last report of a teardown, whatever it took, and nothing is left as
"rerun" that has no report after it. What cannot be repeated honestly is not: the test then fails as it did.

Every repetition goes through ``pytest_runtest_protocol`` anew, with those wrappers that are meant for an attempt: the
timers of pytest-timeout and faulthandler, and what pytest itself does for warnings. Others are around the whole: they may
keep something of their own for each test (pytest-json-report does), and must not meet the same test twice.
"""

import functools
import json
import math
import os
import random
import time

from collections import defaultdict
from collections.abc import Callable, Generator
from typing import Any, Final, Literal, NamedTuple

import pytest

from .actions import Action
from .core import breaker
from .core.exceptions import caused_by, rule_for
from .core.retry import bound, fits
from .flaky import AGAIN, HELD, SPENT, Flaky


RETRIES: Final = 2  # of a marked test that does not say
DELAY: Final = 1.0  # seconds, the most before the first retry
LONGEST_DELAY: Final = 30.0
# Tests in a row that failed of one kind at each attempt, after which time is spent on one of them only now and then.
_HOPELESS: Final = breaker.Rules(threshold=3, window=breaker.LONGEST, cooldown=60.0)
_SECTION: Final = "orxaq"  # of a report, with what it has to say on repetitions
_sleep, _monotonic = time.sleep, time.monotonic  # tests replace those in time
_chance = random.SystemRandom()  # tests seed the other one, and machines that fail together must not come back together

# Plugins that repeat tests: their names, and the option that makes them repeat any test.
_RIVALS: Final = {
    "rerunfailures": ("pytest-rerunfailures", "reruns"),
    "pytest-retry": ("pytest-retry", "retries"),
    "flaky": ("flaky", "force_flaky"),
}
_ENDS: Final = (pytest.exit.Exception, KeyboardInterrupt)
_When = Literal["setup", "call", "teardown"]
# Modules whose wrappers around a test are around each attempt.
_AROUND: Final = ("_pytest.", "pytest_timeout")
# With these pytest shows or plans what it does, or stops in it: a repetition would be in the way.
_BY_HAND: Final = ("usepdb", "trace", "setuponly", "setupplan", "setupshow")


class Terms(NamedTuple):
    """When a test is tried again."""

    retries: int
    delay: float  # seconds, the most before the first retry; doubles
    on: tuple[type[BaseException], ...] | None = None  # of a marked test: only for these
    marked: bool = False

    def allow(self, error: BaseException) -> bool:
        """Whether this failure is one of those to be tried again."""
        if isinstance(error, pytest.FixtureLookupError):
            return False
        if not self.marked:
            rule = rule_for(error, explicit=True)
            # A server that answers "500" is, in a test, mostly the one that is tested.
            return rule is not None and rule.action is Action.RETRY and not rule.statuses
        if not isinstance(error, (Exception, pytest.fail.Exception)):
            return False  # somebody wants this to end
        return self.on is None or caused_by(error, self.on)


def rival(config: pytest.Config) -> str:
    """The plugin that repeats any test of this run itself, or empty."""
    for plugin, (name, option) in _RIVALS.items():
        if config.pluginmanager.has_plugin(plugin):
            chosen = config.getoption(option, None)
            if chosen or (chosen is None and _setting(config, option) not in {"", "0", "None"}):
                return name
    return ""


def standing_down(other: str) -> str:
    """What is said where another plugin repeats tests."""
    return f"orxaq: {other} is switched on and repeats tests itself, so orxaq repeats none"


def _setting(config: pytest.Config, name: str) -> str:
    try:
        return str(config.getini(name))
    except (KeyError, ValueError):  # it has no such setting
        return ""


def watch(session: pytest.Session, retries: int | None, delay: float | None) -> None:
    """Look after the collected tests; with no number of retries, only after those that are marked."""
    config = session.config
    if any(config.getoption(name, False) for name in _BY_HAND):
        return
    manager = config.pluginmanager
    if manager.has_plugin("orxaq-rerun"):  # tests were collected anew
        manager.unregister(name="orxaq-rerun")
    general = Terms(RETRIES if retries is None else retries, DELAY if delay is None else delay)
    manager.register(Rerun(session, general, every=retries is not None), "orxaq-rerun")


class Rerun:
    """Runs tests, more than once where that is allowed. Lives in the process that runs them."""

    def __init__(self, session: pytest.Session, general: Terms, *, every: bool) -> None:
        self._config = session.config
        self._rival = rival(session.config)
        self._general = general
        self._every = every
        self._unmarked = general if every and not self._rival else None
        self._terms: dict[pytest.Item, Terms | str] = {}  # of marked tests, or what is wrong with the mark
        self._left: set[pytest.Item] = set()  # to plugins that repeat what has their marker
        self._apart: set[pytest.Item] = set()  # to pytest-forked: such a test may take its process with it
        self._broken: list[Any] = []  # fixtures of classes, modules and the session whose setup failed
        self._trial: _Trial | None = None
        self._deadline = deadline()
        self._spend = purse()
        self._kinds: defaultdict[str, breaker.Row] = defaultdict(
            breaker.Row
        )  # of failures, by type: is it worth while?
        if not self._rival:
            self._examine(session.items)

    def _examine(self, items: list[pytest.Item]) -> None:
        others = any(self._config.pluginmanager.has_plugin(plugin) for plugin in _RIVALS)
        forks = self._config.pluginmanager.has_plugin("pytest_forked")
        every = forks and self._config.getoption("forked", False)
        for item in items:
            if every or (forks and _mark(item, "forked")):
                self._apart.add(item)
                continue
            if others and (_mark(item, "flaky") or hasattr(getattr(item, "obj", None), "_flaky_max_runs")):
                self._left.add(item)
                continue
            mark = _mark(item, "transient")
            if mark is not None:
                self._terms[item] = _declared(mark, self._general)

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say who repeats tests, if it is somebody else, and which nobody does."""
        lines = []
        if self._rival and not self._every:  # else the header has said so
            lines.append(standing_down(self._rival))
        if self._left:
            lines.append(
                f"orxaq: {len(self._left)} tests with the marker 'flaky' are left to the plugin whose marker that is"
            )
        if self._apart:
            lines.append(f"orxaq: {len(self._apart)} tests are left to pytest-forked, and none of them is tried again")
        return lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a test, and again while that is allowed."""
        trial = self._trial
        if trial is not None and trial.item is item:  # called by the loop below
            trial.pause = self._attempt(trial)
            return True
        terms = self._terms.get(item, self._unmarked)
        # Only functions are known to be repeatable: a doctest's names, for one, are gone after the first time.
        if terms is None or not isinstance(item, pytest.Function) or item in self._left or item in self._apart:
            return None
        self._trial = trial = _Trial(item, nextitem, terms, self._broken)
        try:
            trial.pause = self._attempt(trial)
            while trial.pause is not None:
                _sleep(trial.pause)
                trial.renew()
                self._once_more()(item=item, nextitem=nextitem)
        finally:
            self._trial = None
        return True

    def _once_more(self) -> Any:
        """The hook above, without the wrappers that are around all attempts."""
        implementations = self._config.hook.pytest_runtest_protocol.get_hookimpls()
        others = [
            each.plugin
            for each in implementations
            if each.plugin is not self and not each.function.__module__.startswith(_AROUND)
        ]
        return self._config.pluginmanager.subset_hook_caller("pytest_runtest_protocol", others)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """Keep back the failure of a subtest until it is known whether the test is tried again."""
        report = yield
        trial = self._trial
        # A report that is made while the test's body runs is one of a subtest.
        if trial is not None and trial.calling and trial.item is item and report.failed:
            trial.hold(report, call)
        return report

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, None]:
        """Know which fixtures remember an error, to raise it for every test that asks for them."""
        outcome = yield
        if outcome.excinfo is not None and fixturedef.scope != "function":
            self._broken.append(fixturedef)

    # -------------------------------------------------------------- one attempt

    def _attempt(self, trial: "_Trial") -> float | None:
        """Seconds to wait before the next attempt, or None after the last."""
        item: Any = trial.item
        hook = item.ihook
        trial.began = _monotonic()
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if not item._request:  # noqa: SLF001 - as pytest itself does for whoever repeats a test
            item._initrequest()  # noqa: SLF001
        try:
            pause = self._run(trial)
        finally:
            item._request = False  # noqa: SLF001
            item.funcargs = None
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return pause

    def _run(self, trial: "_Trial") -> float | None:
        call, report = trial.phase("setup", trial.setup)
        if report.passed:
            trial.hook.pytest_runtest_logreport(report=report)
            call, report = trial.phase("call", trial.call)
        if report.passed and not trial.held:
            self._learn(trial)
            trial.end(call, report)
            return None
        pause, why = self._judge(trial, call, report)
        if pause is not None:
            error = trial.undo(call, report)
            if error is None:
                self._tell(trial, call, report, pause)
                return pause
            trial.settle(
                report, "not tried again: its teardown failed, and what the next attempt would find is unknown"
            )
            trial.log(report, error)
            return None
        trial.settle(report, why)
        trial.end(call, report)
        return None

    def _judge(self, trial: "_Trial", call: Any, report: Any) -> tuple[float | None, str]:
        """Seconds to wait before the next attempt; or None, and why, where that is worth telling."""
        terms, session = trial.terms, trial.item.session
        if isinstance(terms, str) or trial.lost or not (report.failed or trial.held):
            return None, ""
        if report.failed and not (call.excinfo is not None and terms.allow(call.excinfo.value)):
            return None, ""  # without an exception it is a strict xfail that passed
        if trial.number > terms.retries:
            failure = f"tried {trial.number} times, failed each time" if terms.retries else ""
            self._learn(trial, failure)
            return None, failure
        if session.shouldfail or session.shouldstop:
            return None, "not tried again: the run is about to stop"
        poisoned = _poisoned(trial.item)
        if poisoned:
            return None, f"not tried again: {poisoned} could not be set up, and that is not repeated for one test"
        pause = self._pause(trial, terms)
        if pause is None:
            return None, "not tried again: the time of this run (ORXAQ_DEADLINE) is nearly up"
        hopeless = "" if trial.kind else self._ask(trial, _kind(trial, call, report))
        if hopeless:
            return None, hopeless
        return (pause, "") if self._spend() else (None, f"not tried again: {SPENT}")

    def _ask(self, trial: "_Trial", kind: str) -> str:
        """Why a test that failed of that kind for the first time is not worth another attempt; empty if it is."""
        self._kinds[kind], answer = breaker.step(
            self._kinds[kind], breaker.Ask(trial.item.nodeid), _monotonic(), _HOPELESS
        )
        if answer.verdict is breaker.Verdict.REFUSED:
            return (
                f"not tried again: the last {_HOPELESS.threshold} tests with {kind} failed each time;"
                f" one is tried again in {answer.retry_after:.0f} s at the earliest"
            )
        trial.kind, trial.epoch = kind, self._kinds[kind].epoch
        return ""

    def _learn(self, trial: "_Trial", failure: str = "") -> None:
        """Keep in mind whether it helped to try a test again."""
        if trial.kind:
            report = breaker.Report(trial.epoch, token=trial.item.nodeid, failure=failure)
            self._kinds[trial.kind], _ = breaker.step(self._kinds[trial.kind], report, _monotonic(), _HOPELESS)

    def _pause(self, trial: "_Trial", terms: Terms) -> float | None:
        """Seconds to wait after the attempt, or None if the next one, as long with its setup, might not end in time."""
        now = _monotonic()
        pause = _chance.random() * bound(trial.number, base=terms.delay, cap=max(LONGEST_DELAY, terms.delay))
        return pause if fits(pause + now - trial.began, None, self._deadline - now) else None

    def _tell(self, trial: "_Trial", call: Any, report: Any, pause: float) -> None:
        """Report a failed attempt as one after which the test is tried again."""
        manager = self._config.pluginmanager
        if not hasattr(self._config, "workerinput") and not manager.has_plugin("orxaq-flaky"):
            manager.register(Flaky(self._config), "orxaq-flaky")
        exception = _kind(trial, call, report)
        if not report.failed:
            report.longrepr = trial.held[0].longrepr
        report.outcome = "rerun"
        report.rerun = trial.number - 1  # what reporters that know of pytest-rerunfailures look for
        facts = {"attempt": trial.number, "exception": exception, "pause": round(pause, 3)}
        setattr(report, AGAIN, json.dumps(facts))
        trial.failed.append(report)
        trial.log(report)


class _Trial:
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


# ------------------------------------------------------------------ rules


def _mark(item: pytest.Item, name: str) -> pytest.Mark | None:
    """The closest marker of that name. Folders and functions can be called so too; asking for names first is cheaper."""
    return item.get_closest_marker(name) if name in item.keywords else None


def _declared(mark: pytest.Mark, general: Terms) -> Terms | str:
    """What a marker says, or what is wrong with it."""
    known = {"retries": general.retries, "delay": general.delay, "on": None}
    wrong = [f"it takes no argument {name!r}" for name in mark.kwargs if name not in known]
    if mark.args:
        wrong.append("it takes arguments by name only")
    given = {**known, **mark.kwargs}
    retries, delay, on = given["retries"], given["delay"], given["on"]
    if type(retries) is not int or retries < 0:
        wrong.append(f"retries must be a whole number from 0, not {retries!r}")
    if type(delay) not in {int, float} or not 0 <= delay < math.inf:
        wrong.append(f"delay must be seconds, not {delay!r}")
    types = on if isinstance(on, tuple) else (on,)
    if on is not None and not (types and all(_is_failure(kind) for kind in types)):
        wrong.append(f"on must be an exception type or a tuple of these, not {on!r}")
    if wrong:
        return f"@pytest.mark.transient(retries=2, delay=1.0, on=(ConnectionError,)): {'; '.join(wrong)}"
    return Terms(retries, float(delay), None if on is None else types, marked=True)


def _is_failure(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, (Exception, pytest.fail.Exception))


def _kind(trial: _Trial, call: Any, report: Any) -> str:
    """The type of the exception that an attempt failed of, in its body or in a subtest."""
    return str(call.excinfo.typename if report.failed else getattr(trial.held[0], HELD))


def purse() -> Callable[[], bool]:
    """What says whether the gate around us, if there is one, has a retry left, and then takes it."""
    handed = os.environ.get("ORXAQ_RETRIES", "")  # now: tests change the environment
    if not handed:
        return lambda: True
    from .system import purse  # noqa: PLC0415 - only below a gate

    return functools.partial(purse.spend, handed)


def deadline() -> float:
    """The moment on CLOCK_MONOTONIC at which all must be done."""
    text = os.environ.get("ORXAQ_DEADLINE", "")
    if not text:
        return math.inf
    from .core import environment  # noqa: PLC0415 - only for who is given one
    from .system import resources  # noqa: PLC0415

    found = environment.read_deadline(text, resources.boot_id())
    return math.inf if found is None else found


def _poisoned(item: pytest.Item) -> str:
    """The package, module or class around a test whose own setup failed: pytest repeats its error for each test."""
    for node, (_, error) in item.session._setupstate.stack.items():  # noqa: SLF001
        if node is not item and error is not None:
            return f"{type(node).__name__} {node.name}"
    return ""
