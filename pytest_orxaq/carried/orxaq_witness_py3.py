"""The witness: writes down, inside pytest, which tests began and how each ended.

PYTEST_DONT_REWRITE. Standard library and pytest >= 7 only, Python >= 3.7: this file visits environments that know
nothing of the rest of the package, and lives by three rules. It never raises into pytest and never changes an
outcome. It writes one line with one ``write`` at once, so that a killed pytest leaves everything up to the kill. And
it says when it is done, with the number of lines, so that a cut or edited journal cannot pass for a whole one.

The journal is one JSON array a line: ``[kind, ...]``::

    ["session", {...}]                      who writes; always first
    ["collected", 12]                       tests that are to run
    ["+", id]                               a test began
    ["again", id, {...}]                    it failed, and a plugin tries it again
    ["-", id, outcome, seconds]             its one final outcome ...
    ["-", id, outcome, seconds, {...}]      ... with details, unless it passed
    ["collect", id, outcome, {...}]         a collector failed or was skipped
    ["internal", text]                      an internal error of pytest
    ["trouble", text]                       an error of the witness itself
    ["finish", {...}]                       the session closed; always last
"""

# Paths stay plain text: os does all that is needed, and cheaply.

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import stat
import sys
import time

from collections.abc import Callable, Generator
from typing import Any

import pytest


_OPENINGS = [time.monotonic()]  # the first session of this process began when pytest did, not when it was configured
NAME = "orxaq-witness-active"  # under which one witness a pytest is registered, whichever copy of this file is first

_TRACEBACK = 64 * 1024
_SECTION = 16 * 1024
_SECTIONS = 32
_MESSAGE = 8 * 1024
_PARAMETER = 200
_PARAMETERS = 50
_NAMED = 50  # ids in the closing line
_COPIED = 256  # MiB of a JUnit file
_VOLATILE = {"PYTEST_CURRENT_TEST", "_", "SHLVL", "PWD", "OLDPWD"}
_FINAL = ("passed", "failed", "skipped")
_TRIED_AGAIN = ("rerun", "retried")  # what pytest-rerunfailures and pytest-retry make of a failure
_ACTIVE = "_orxaq_witness_active"  # on sys: pytester forgets modules, and there may be two copies of this one
_EXCEPTION_KEY = "orxaq.exception"
_PARAMETERS_KEY = "orxaq.parameters"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the witness that this pytest needs, if a gate asked for one."""
    folder = os.environ.get("ORXAQ_ATTEMPT", "").split(os.pathsep)[-1]
    if not folder or config.pluginmanager.has_plugin(NAME):
        return
    if hasattr(config, "workerinput"):
        witness: Any = _Annotator()
    elif _is_nested():
        witness = _Bystander(config, folder)
    else:
        witness = _Witness(config, folder)
    config.pluginmanager.register(witness, NAME)


def _is_nested() -> bool:
    """Whether a test of another witnessed session started this pytest."""
    owner = os.environ.get("ORXAQ_WITNESS")
    here = getattr(sys, _ACTIVE, None) == os.getpid()
    # A pytest that replaced itself (exec) finds its own id in the environment, and no session in this interpreter.
    return here or (owner is not None and owner != str(os.getpid()))


class _Journal:
    """One process's file in the mailbox, written a line at a time; closed, it swallows every line."""

    def __init__(self) -> None:
        self._fd = -1
        self._pid = os.getpid()
        self._path = ""
        self._flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        self._identity = (-1, -1)
        self.stem = f"{self._pid}-{os.urandom(4).hex()}"
        self.lines = 0

    def open(self, folder: str) -> None:
        """Make the file; where that fails, stay closed."""
        self._path = os.path.join(folder, "tests-" + self.stem + ".jsonl")
        with contextlib.suppress(OSError):
            self._fd = os.open(self._path, self._flags | os.O_CREAT | os.O_EXCL, 0o600)
            self._identity = self._identify()

    def write(self, *record: object) -> None:
        """Append one line; after an error, nothing more."""
        # A forked child of a test has this object too, and nothing to say.
        if self._fd < 0 or os.getpid() != self._pid:
            return
        line = json.dumps(record).encode("ascii") + b"\n"
        try:
            # A test that closes every descriptor would have us write into whatever got ours next.
            if self._identify() != self._identity:
                self._reopen()
            self.lines += 1
            if os.write(self._fd, line) != len(line):
                self.close()
        except OSError:
            self.close()

    def close(self) -> None:
        """Write no more."""
        if os.getpid() == self._pid and self._fd >= 0 and self._identify() == self._identity:
            os.close(self._fd)
        self._fd = -1

    def _identify(self) -> tuple[int, int]:
        try:
            status = os.fstat(self._fd)
        except OSError:
            return (-1, -1)
        return (status.st_dev, status.st_ino)

    def _reopen(self) -> None:
        self._fd = os.open(self._path, self._flags)
        if self._identify() != self._identity:  # this is somebody else's file
            os.close(self._fd)
            self._fd = -1
            raise OSError


class _Annotator:
    """Adds to failing reports what only the process that runs the test knows."""

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
        outcome = yield
        if call.excinfo is None:
            return
        with contextlib.suppress(Exception):  # details of a failure are not worth another one
            report = outcome.get_result()
            if report.failed:
                # Text only: a report with anything that execnet cannot carry kills an xdist worker (xdist#1017).
                report.user_properties.append((_EXCEPTION_KEY, str(call.excinfo.typename)))
                report.user_properties.append((_PARAMETERS_KEY, json.dumps(_parameters(item))))


class _Bystander:
    """A session inside another one's test: leaves its counts, so that its closing line can be explained."""

    def __init__(self, config: pytest.Config, folder: str) -> None:
        self._config = config
        self._journal = _Journal()
        self._journal.open(folder)
        self._journal.write(
            "session", {"nonce": _nonce(), "pid": os.getpid(), "nested": True, "opened_at": _opened_at()}
        )

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        yield
        with contextlib.suppress(Exception):
            reporter = self._config.pluginmanager.get_plugin("terminalreporter")
            stats = reporter.stats if reporter is not None else {}
            counts = {name: len(stats.get(name, ())) for name in ("passed", "failed", "skipped", "xfailed", "xpassed")}
            counts["errors"] = len(stats.get("error", ()))
            self._journal.write("finish", _closing(session, self._journal, counts))

    def pytest_unconfigure(self) -> None:
        self._journal.close()


class _Witness(_Annotator):
    """The session that a gate wants proof of."""

    def __init__(self, config: pytest.Config, folder: str) -> None:
        self._config = config
        self._folder = folder
        self._journal = _Journal()
        self._junit = _JUnit(config, folder)
        self._expected: dict[str, int] | None = None
        self._reports: dict[str, list[Any]] = {}  # of tests whose end is not known yet
        self._finals: dict[str, int] = {}
        self._collectors: set[str] = set()
        self._counts = dict.fromkeys(("passed", "failed", "errors", "skipped", "xfailed", "xpassed"), 0)
        os.environ["ORXAQ_WITNESS"] = str(os.getpid())
        setattr(sys, _ACTIVE, os.getpid())
        self._environment = _environment()
        self._opened_at = _opened_at()

    def _safely(self, action: Callable[..., None], *arguments: object) -> None:
        """Do something whose failure is the journal's business and not pytest's."""
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001
            with contextlib.suppress(Exception):
                self._journal.write("trouble", _cut(f"{type(error).__name__}: {error}", _MESSAGE))

    # -------------------------------------------------------------- the session

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self._safely(self._open)

    def _open(self) -> None:
        # Not at configure: --help and --version come that far, and have no session to close.
        self._journal.open(self._folder)
        self._journal.write("session", self._header())
        self._junit.settle(self._journal.stem)

    def _header(self) -> dict[str, object]:
        config = self._config
        return {
            "nonce": _nonce(),
            "pid": os.getpid(),
            "python": sys.executable,
            "python_version": ".".join(map(str, sys.version_info[:3])),
            "prefix": sys.prefix,
            "packages": _packages(),
            "pytest_version": pytest.__version__,
            "arguments": [str(argument) for argument in config.invocation_params.args],
            "directory": str(config.invocation_params.dir),
            "root": str(config.rootpath),
            "environment": self._environment,
            "opened_at": self._opened_at,
        }

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if not self._config.pluginmanager.has_plugin("dsession"):
            self._safely(self._expect_items, session)

    def _expect_items(self, session: pytest.Session) -> None:
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        # xdist itself refuses workers that disagree, so the first one speaks for all.
        if self._expected is None:
            self._safely(self._expect, ids)

    def _expect(self, ids: list[str]) -> None:
        option = self._config.option
        for name in ("collectonly", "showfixtures", "show_fixtures_per_test"):
            if getattr(option, name, False):
                ids = []  # only listed
        self._expected = {}
        for id in ids:
            self._expected[id] = self._expected.get(id, 0) + 1
        self._journal.write("collected", len(ids))

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: object) -> None:
        self._safely(self._write_internal_error, excrepr)

    def _write_internal_error(self, excrepr: object) -> None:
        self._journal.write("internal", _cut(str(excrepr), _MESSAGE))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, None]:
        outcome = yield
        if outcome.excinfo is not None:  # pytest lets this one fall through to a bare traceback
            self._safely(self._write_internal_error, f"{outcome.excinfo[0].__name__}: {outcome.excinfo[1]}")
        self._safely(self._finish, session)

    def _finish(self, session: pytest.Session) -> None:
        for id in list(self._reports):
            self._conclude(id)  # of plugins that run tests and forget pytest_runtest_logfinish
        missing = [
            _numbered(id, number)
            for id, times in (self._expected or {}).items()
            for number in range(self._finals.get(id, 0) + 1, times + 1)
        ]
        repeated = [id for id, times in self._finals.items() if times > (self._expected or {}).get(id, 1)]
        closing = _closing(session, self._journal, self._counts)
        closing.update(missing=missing[:_NAMED], missing_number=len(missing), repeated=repeated[:_NAMED])
        self._journal.write("finish", closing)
        self._journal.close()

    def pytest_unconfigure(self) -> None:
        os.environ.pop("ORXAQ_WITNESS", None)
        if getattr(sys, _ACTIVE, None) == os.getpid():
            delattr(sys, _ACTIVE)
        self._safely(self._junit.copy)

    # -------------------------------------------------------------- the tests

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self._safely(self._add_collector, report)

    def _add_collector(self, report: Any) -> None:
        id = report.nodeid
        if id in self._collectors:
            return  # every xdist worker may complain of the same file
        self._collectors.add(id)
        outcome = "skipped" if report.outcome == "skipped" else "error"
        self._counts["skipped" if outcome == "skipped" else "errors"] += 1
        details: dict[str, object] = {"file": id.split("::")[0]}
        if outcome == "error":
            details["failures"] = [_failure(report, "collect")]
        self._journal.write("collect", id, outcome, details)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._safely(self._start, nodeid)

    def _start(self, id: str) -> None:
        self._journal.write("+", self._numbered(id))

    @pytest.hookimpl(trylast=True)  # after plugins that still change the outcome
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._safely(self._add, report)

    def _add(self, report: Any) -> None:
        reports = self._reports.setdefault(report.nodeid, [])
        if report.outcome in _FINAL:
            reports.append(report)
        else:
            del reports[:]  # what led here will be tried again
            if report.outcome in _TRIED_AGAIN and report.longrepr:
                self._journal.write("again", self._numbered(report.nodeid), _details([report]))
        if report.when == "???" and reports:
            self._conclude(report.nodeid)  # xdist's word for a crashed worker; no logfinish follows

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._safely(self._conclude, nodeid)

    def _conclude(self, id: str) -> None:
        """Write a test's final outcome, if its reports amount to one."""
        reports = self._reports.pop(id, None)
        outcome = _outcome(reports, getattr(self._config.option, "setuponly", False)) if reports else None
        if not reports or outcome is None:
            return
        number = self._next_number(id)
        self._finals[id] = self._finals.get(id, 0) + 1
        self._counts["errors" if outcome == "error" else outcome] += 1
        seconds = round(sum(report.duration for report in reports if not _is_subtest(report)), 6)
        record = ["-", _numbered(id, number), outcome, seconds]
        self._journal.write(*record) if outcome == "passed" else self._journal.write(*record, _details(reports))

    def _numbered(self, id: str) -> str:
        return _numbered(id, self._next_number(id))

    def _next_number(self, id: str) -> int:
        """Which of several tests with the same id the next one is (--keep-duplicates); mostly 1."""
        return min(self._finals.get(id, 0) + 1, (self._expected or {}).get(id, 1))


class _JUnit:
    """The session's JUnit file: pytest's own writer, pointed at the mailbox, or a copy of what the user asked for."""

    def __init__(self, config: pytest.Config, folder: str) -> None:
        self._config = config
        self._folder = folder
        self._theirs = ""
        self._before: object = None
        self._target = ""
        chosen = getattr(config.option, "xmlpath", None)
        self._ours = hasattr(config.option, "xmlpath") and not chosen
        if self._ours:
            # The writer is made at configure; its final name follows when the journal has one.
            config.option.xmlpath = os.path.join(folder, "junit.xml")
        elif chosen:
            self._theirs = os.path.abspath(os.path.expanduser(os.path.expandvars(chosen)))
            self._before = _fingerprint(self._theirs)

    def settle(self, stem: str) -> None:
        """Name the file after the journal."""
        self._target = os.path.join(self._folder, "junit-" + stem + ".xml")
        if not self._ours:
            return
        from _pytest.junitxml import LogXML  # noqa: PLC0415  # not there with -p no:junitxml

        manager = self._config.pluginmanager
        for writer in [plugin for plugin in manager.get_plugins() if isinstance(plugin, LogXML)]:
            manager.unregister(writer)
            writer.logfile = self._target
            # The default family warns of record_property, which -W error makes a failure that is not theirs.
            writer.family = "xunit1"
            writer.__class__ = _harmless(LogXML)
            manager.register(writer)

    def copy(self) -> None:
        """Bring what the user's own --junitxml wrote into the mailbox."""
        now = _fingerprint(self._theirs) if self._theirs else None
        if not self._target or now is None or now == self._before:
            return
        source = os.open(self._theirs, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(source, "rb") as theirs:
            target = os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
            with open(target, "wb") as ours:
                ours.writelines(itertools.islice(iter(lambda: theirs.read(1 << 20), b""), _COPIED))


def _harmless(base: Any) -> Any:
    """A JUnit writer that nobody asked for, and that therefore must not fail or be seen."""

    class Harmless(base):  # type: ignore[misc]
        def pytest_runtest_logreport(self, report: Any) -> None:
            self._quietly("pytest_runtest_logreport", report)

        def pytest_collectreport(self, report: Any) -> None:
            self._quietly("pytest_collectreport", report)

        def pytest_internalerror(self, excrepr: Any) -> None:
            self._quietly("pytest_internalerror", excrepr)

        def pytest_sessionfinish(self) -> None:
            if os.path.isdir(os.path.dirname(self.logfile)):  # the writer would make it anew
                self._quietly("pytest_sessionfinish")

        def pytest_terminal_summary(self) -> None:
            """Say nothing of a file that nobody asked for."""

        def _quietly(self, name: str, *arguments: Any) -> None:
            with contextlib.suppress(Exception):
                getattr(super(), name)(*arguments)

    return Harmless


# ------------------------------------------------------------------ rules


def _outcome(reports: list[Any], only_setup: bool) -> str | None:
    """The final outcome of a test from its reports, or None while there is none."""
    by_phase = {report.when: report for report in reports if not _is_subtest(report)}
    failed = {report.when for report in reports if report.outcome == "failed"}
    body = by_phase.get("call") or by_phase.get("???")
    if failed:
        return "failed" if failed & {"call", "???"} else "error"
    if body is None:
        setup = by_phase.get("setup")
        if setup is not None and setup.outcome == "skipped":
            body = setup
        else:
            # Set up and torn down and never called: an attempt that a plugin tries again, or --setup-only.
            return "skipped" if only_setup and setup is not None else None
    if hasattr(body, "wasxfail"):
        return "xfailed" if body.outcome == "skipped" else "xpassed"
    return str(body.outcome)


def _is_subtest(report: object) -> bool:
    """Whether this is one of several reports that share a test's call phase."""
    return type(report).__name__.lower() == "subtestreport"  # of pytest 9, and of pytest-subtests


def _details(reports: list[Any]) -> dict[str, object]:
    """What people need to know of a test that did not pass."""
    path, line, _ = reports[-1].location
    details: dict[str, Any] = {"file": path, "line": line + 1 if isinstance(line, int) else None}
    bad = [report for report in reports if report.outcome == "failed" or report.outcome in _TRIED_AGAIN]
    if bad:
        details["failures"] = [_failure(report, "call" if report.when == "???" else report.when) for report in bad[:50]]
        details["parameters"] = json.loads(_property(bad[0], _PARAMETERS_KEY) or "[]")
    return details


def _failure(report: Any, phase: str) -> dict[str, object]:
    """One failing report in words."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext
    message = str(crash.message) if crash is not None else text
    named = re.match(r"(?:[\w<>]+\.)*(\w+)(?:: |$)", message) if crash is not None else None
    exception = _property(report, _EXCEPTION_KEY) or (named.group(1) if named else "")
    if named and named.group(1) == exception:
        message = message[named.end() :]  # said once is enough
    return {
        "phase": phase,
        "exception": exception,
        "message": _cut(message, _MESSAGE),
        "traceback": _cut(text, _TRACEBACK),
        "sections": [[str(title), _cut(str(body), _SECTION)] for title, body in report.sections[:_SECTIONS]],
    }


def _property(report: Any, key: str) -> str:
    """The text that the process which ran the test attached to its report."""
    for name, value in reversed(getattr(report, "user_properties", ())):
        if name == key and isinstance(value, str):
            return value
    return ""


def _parameters(item: Any) -> list[list[str]]:
    """The parameters of a parametrized test, each as bounded text."""
    callspec = getattr(item, "callspec", None)
    pairs = list(callspec.params.items())[:_PARAMETERS] if callspec is not None else []
    return [[str(name), _shown(value)] for name, value in pairs]


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001
        text = f"<repr raised {type(error).__name__}>"
    return _cut(text, _PARAMETER)


def _cut(text: str, limit: int) -> str:
    """Head and tail of a text that is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _numbered(id: str, number: int) -> str:
    return id if number == 1 else f"{id} ({number})"


def _closing(session: Any, journal: _Journal, counts: dict[str, int]) -> dict[str, object]:
    """What the last line says."""
    return {
        "exit_status": int(session.exitstatus),
        "counts": counts,
        "closed_at": time.monotonic(),
        "lines": journal.lines + 1,  # with this one
    }


def _opened_at() -> float:
    return _OPENINGS.pop() if _OPENINGS else time.monotonic()


def _nonce() -> str:
    return os.environ.get("ORXAQ_NONCE", "")


def _fingerprint(path: str) -> object:
    """What changes when a file is written, or None without a regular file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _packages() -> str:
    """A digest of the installed distributions' names and versions."""
    names: set[str] = set()
    for folder in sys.path:
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            try:
                entries = os.listdir(folder)
            except OSError:
                continue
            names.update(name for name in entries if name.endswith((".dist-info", ".egg-info", ".egg-link")))
    return hashlib.sha256("\0".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest()


def _environment() -> str:
    """A digest of the environment without what differs between two commands of one recipe."""
    pairs = sorted(
        (name, value) for name, value in os.environ.items() if name not in _VOLATILE and not name.startswith("ORXAQ_")
    )
    return hashlib.sha256(repr(pairs).encode("utf-8", "surrogateescape")).hexdigest()
