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
from typing import Any, Final

import pytest

from .core import breaker
from .core.retry import bound, fits
from .flaky import AGAIN, HELD, SPENT, Flaky
from .terms import DELAY, RETRIES, Terms, declared, mark_of
from .trial import Trial


LONGEST_DELAY: Final = 30.0
# Tests in a row that failed of one kind at each attempt, after which time is spent on one of them only now and then.
_HOPELESS: Final = breaker.Rules(threshold=3, window=breaker.LONGEST, cooldown=60.0)
_sleep, _monotonic = time.sleep, time.monotonic  # tests replace those in time
_chance = random.SystemRandom()  # tests seed the other one, and machines that fail together must not come back together

# Plugins that repeat tests: their names, and the option that makes them repeat any test.
_RIVALS: Final = {
    "rerunfailures": ("pytest-rerunfailures", "reruns"),
    "pytest-retry": ("pytest-retry", "retries"),
    "flaky": ("flaky", "force_flaky"),
}
# Modules whose wrappers around a test are around each attempt.
_AROUND: Final = ("_pytest.", "pytest_timeout")
# With these pytest shows or plans what it does, or stops in it: a repetition would be in the way.
_BY_HAND: Final = ("usepdb", "trace", "setuponly", "setupplan", "setupshow")


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
        self._trial: Trial | None = None
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
            if every or (forks and mark_of(item, "forked")):
                self._apart.add(item)
                continue
            if others and (mark_of(item, "flaky") or hasattr(getattr(item, "obj", None), "_flaky_max_runs")):
                self._left.add(item)
                continue
            mark = mark_of(item, "transient")
            if mark is not None:
                self._terms[item] = declared(mark, self._general)

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
        self._trial = trial = Trial(item, nextitem, terms, self._broken)
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

    def _attempt(self, trial: Trial) -> float | None:
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

    def _run(self, trial: Trial) -> float | None:
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

    def _judge(self, trial: Trial, call: Any, report: Any) -> tuple[float | None, str]:
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

    def _ask(self, trial: Trial, kind: str) -> str:
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

    def _learn(self, trial: Trial, failure: str = "") -> None:
        """Keep in mind whether it helped to try a test again."""
        if trial.kind:
            report = breaker.Report(trial.epoch, token=trial.item.nodeid, failure=failure)
            self._kinds[trial.kind], _ = breaker.step(self._kinds[trial.kind], report, _monotonic(), _HOPELESS)

    def _pause(self, trial: Trial, terms: Terms) -> float | None:
        """Seconds to wait after the attempt, or None if the next one, as long with its setup, might not end in time."""
        now = _monotonic()
        pause = _chance.random() * bound(trial.number, base=terms.delay, cap=max(LONGEST_DELAY, terms.delay))
        return pause if fits(pause + now - trial.began, None, self._deadline - now) else None

    def _tell(self, trial: Trial, call: Any, report: Any, pause: float) -> None:
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


# ------------------------------------------------------------------ what is around a test, and the run


def _kind(trial: Trial, call: Any, report: Any) -> str:
    """The type of the exception that an attempt failed of, in its body or in a subtest."""
    return str(call.excinfo.typename if report.failed else getattr(trial.held[0], HELD))


def purse() -> Callable[[], bool]:
    """What says whether the gate around us, if there is one, has a retry left, and then takes it."""
    handed = os.environ.get("ORXAQ_RETRIES", "")  # now: tests change the environment
    if not handed:
        return lambda: True
    from .system.purse import spend  # noqa: PLC0415 - only below a gate

    return functools.partial(spend, handed)


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
