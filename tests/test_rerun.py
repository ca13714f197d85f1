"""Tests that are tried again: which are, what is made afresh for them, and how it is told. Real pytests throughout."""

import os
import re
import subprocess
import sys
import time

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import pytest_orxaq

from pytest_orxaq import mailbox
from pytest_orxaq.core import environment, evidence, testimony
from pytest_orxaq.model import Strength
from pytest_orxaq.system import resources


PACKAGE = Path(pytest_orxaq.__file__).parent
ROOT = PACKAGE.parent
LONGEST = 120  # seconds, after which a run hangs

# What the tests of a project below share: `nth("a")` is 1 when it is asked for the first time, also in another process.
CONFTEST = """
import os, pytest
def nth(name):
    with open(os.path.join(os.path.dirname(__file__), "count-" + name), "ab") as file:
        file.write(b".")
        return file.tell()
@pytest.fixture
def attempt(request):
    return nth(request.node.name.replace("/", "_"))
"""


@dataclass(kw_only=True)
class Project:
    """A small project whose pytest has the plugin."""

    top: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    code: int = -1
    out: str = ""

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def run(self, *arguments: str, test: str = "", **variables: str) -> dict[str, str]:
        """One pytest process with JUnit; how each test of it ended, by its name."""
        if test:
            self.write({"test_it.py": test})
        (self.top / "junit.xml").unlink(missing_ok=True)
        command = [self.python, "-m", "pytest", "-p", "no:randomly", "--orxaq-retry-delay=0", "--junitxml=junit.xml"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.top,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
        self.code, self.out = done.returncode, done.stdout + done.stderr
        return {name: outcome for name, (outcome, _) in self.cases().items()}

    def cases(self) -> dict[str, tuple[str, list[ET.Element]]]:
        """By name of the tests in the JUnit file: the outcome, and all that stands in the element."""
        file = self.top / "junit.xml"
        found: dict[str, tuple[str, list[ET.Element]]] = {}
        for case in ET.parse(file).iter("testcase") if file.exists() else ():  # noqa: S314 - pytest's own
            bad = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
            earlier = any(child.tag.startswith("flaky") for child in case)
            outcome = bad[0] if bad else "flaky" if earlier else "passed"
            name = case.attrib["name"]
            if name in found:  # pytest writes two of a test that failed and whose teardown failed
                outcome = f"{found[name][0]}+{outcome}"
            found[name] = (outcome, list(case))
        return found

    def times(self, name: str) -> int:
        """How often `nth(name)` was asked."""
        counted = self.top / f"count-{name}"
        return counted.stat().st_size if counted.exists() else 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    top = tmp_path / "project"
    top.mkdir()
    unrelated = ("PYTEST_", "PYTHON", "ORXAQ_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unrelated)}
    environment["PYTHONPATH"] = str(ROOT)
    made = Project(top=top, environment=environment)
    made.write({"pytest.ini": "[pytest]\naddopts = -p orxaq --strict-markers\n", "conftest.py": CONFTEST})
    return made


# ------------------------------------------------------------------ which failures


OUTCOMES = """
import errno, os, socket, urllib.error, pytest
def test_typed(attempt):
    if attempt < 3: raise ConnectionResetError("gone")
def test_errno(attempt):
    if attempt < 2: raise OSError(errno.EHOSTUNREACH, "no way")
def test_name_server(attempt):
    if attempt < 2: raise socket.gaierror(socket.EAI_AGAIN, "later")
def test_no_such_name(attempt):
    if attempt < 2: raise socket.gaierror(socket.EAI_NONAME, "never")
def test_cause(attempt):
    if attempt < 2: raise RuntimeError("it") from TimeoutError("slow")
def test_group(attempt):
    if attempt < 2: raise ExceptionGroup("both", [TimeoutError(), ConnectionError()])
def test_mixed_group(attempt):
    if attempt < 2: raise ExceptionGroup("both", [TimeoutError(), ValueError()])
def test_assertion(attempt):
    assert attempt == 2
def test_assertion_while_handling(attempt):
    try:
        raise ConnectionError
    except ConnectionError:
        assert attempt == 2
def test_words(attempt):
    if attempt < 2: raise ValueError("ConnectionError: refused")
def test_exhausted(attempt):
    raise ConnectionError("always")
def test_answer_of_a_server(attempt):
    if attempt < 2: raise urllib.error.HTTPError("http://x", 500, "it broke", None, None)
def test_something_while_handling(attempt):
    try:
        raise ConnectionError
    except ConnectionError:
        if attempt < 2: raise RuntimeError
@pytest.mark.transient
def test_marked(attempt):
    assert attempt == 2
@pytest.mark.transient(on=(KeyError, ValueError))
def test_marked_for_it(attempt):
    if attempt < 2: raise RuntimeError from KeyError()
@pytest.mark.transient(on=KeyError)
def test_marked_for_another(attempt):
    if attempt < 2: raise ConnectionError("not this one")
@pytest.mark.transient(retries=0)
def test_marked_never(attempt):
    if attempt < 2: raise ConnectionError
@pytest.mark.transient
def test_fail(attempt):
    if attempt < 2: pytest.fail("by hand")
@pytest.mark.transient
def test_leaves(attempt):
    raise SystemExit(0)
@pytest.mark.transient
def test_no_such_fixture(nothing): pass
@pytest.mark.transient
@pytest.mark.xfail(strict=True)
def test_strict(attempt): pass
@pytest.mark.transient
@pytest.mark.xfail
def test_xfail(attempt): assert False
def test_skip(attempt): pytest.skip("no")
def test_pass(attempt): pass
"""
MARKED = {
    "test_marked": ("flaky", 2),
    "test_marked_for_it": ("flaky", 2),
    "test_marked_for_another": ("failure", 1),
    "test_marked_never": ("failure", 1),
    "test_fail": ("flaky", 2),
    "test_leaves": ("failure", 1),
    "test_no_such_fixture": ("error", 0),
    "test_strict": ("failure", 1),
    "test_xfail": ("skipped", 1),
    "test_skip": ("skipped", 1),
    "test_pass": ("passed", 1),
}
TYPED = {
    "test_typed": ("flaky", 3),
    "test_errno": ("flaky", 2),
    "test_name_server": ("flaky", 2),
    "test_no_such_name": ("failure", 1),
    "test_cause": ("flaky", 2),
    "test_group": ("flaky", 2),
    "test_mixed_group": ("failure", 1),
    "test_assertion": ("failure", 1),
    "test_assertion_while_handling": ("failure", 1),
    "test_words": ("failure", 1),
    "test_exhausted": ("failure", 3),
    "test_answer_of_a_server": ("failure", 1),
    "test_something_while_handling": ("failure", 1),
}


@pytest.mark.parametrize("workers", [(), ("-n2",)])
@pytest.mark.parametrize("retries", [None, 0, 2])
def test_what_is_tried_again(project: Project, retries: int | None, workers: tuple[str, ...]) -> None:
    """Without the option only what is marked, with it also what is typed transient, with 0 nothing; never the rest."""
    option = () if retries is None else (f"--orxaq-retries={retries}",)
    outcomes = project.run(*option, *workers, test=OUTCOMES)
    seen = {name: (outcome, project.times(name)) for name, outcome in outcomes.items()}
    not_tried = dict.fromkeys(TYPED, ("failure", 1))
    if retries == 0:
        not_tried |= {
            name: ("failure" if seen == "flaky" else seen, min(times, 1)) for name, (seen, times) in MARKED.items()
        }
    assert seen == not_tried | ({} if retries == 0 else MARKED) | (TYPED if retries else {}), project.out
    assert project.code == 1


def test_a_flaky_test_is_told_everywhere(project: Project, tmp_path: Path) -> None:
    """The terminal, the JUnit file and the gate's evidence say that it passed at the second attempt, and why not before."""
    box = mailbox.create(tmp_path / "runs", "attempt", "a-nonce")
    project.environment = mailbox.offer(box, project.environment, carried=PACKAGE / "carried")
    assert project.run(test=FLAKY) == {"test_it": "flaky"}, project.out
    assert project.code == 0
    assert "FLAKY test_it.py::test_it" in project.out
    assert "attempt 1 failed: ConnectionError: refused" in project.out
    assert "1 passed, 1 rerun" in project.out
    (child,) = project.cases()["test_it"][1]
    assert (child.tag, child.get("type"), child.get("message")) == (
        "flakyFailure",
        "ConnectionError",
        "ConnectionError: refused",
    )
    assert "raise ConnectionError" in (child.findtext("stackTrace") or "")
    assert child.findtext("system-out") == "said at attempt 1\n"
    (session,), _ = mailbox.read_sessions(box)
    standing, recovered = testimony.recovered([session])
    assert testimony.clean(session)
    assert standing == ()
    assert [(result.id, result.failures[0].exception) for result in recovered] == [
        ("test_it.py::test_it", "ConnectionError")
    ]
    weighed = evidence.weigh(sessions=(session,), recovered=recovered)
    assert (weighed.strength, weighed.counts.passed, len(weighed.recovered)) == (Strength.WITNESS, 1, 1)


FLAKY = """
import pytest
@pytest.mark.transient(on=ConnectionError)
def test_it(attempt):
    print("said at attempt", attempt)
    if attempt == 1: raise ConnectionError("refused")
"""


HOPELESS = """
import pytest
@pytest.mark.parametrize("n", range(9))
def test_it(n, attempt):
    if n != 2 or attempt == 1: raise ConnectionError
"""


def test_what_is_gone_for_good_is_not_waited_for(project: Project) -> None:
    """After three tests in a row that failed at each attempt there are no more retries; one that passes starts anew."""
    project.run("--orxaq-retries=1", test=HOPELESS)
    assert [project.times(f"test_it[{n}]") for n in range(9)] == [2, 2, 2, 2, 2, 2, 1, 1, 1], project.out
    assert (
        "not tried again: the last 3 tests with ConnectionError failed each time; one is tried again in" in project.out
    )


GONE = """
import pytest
from conftest import clock
@pytest.mark.parametrize("n", range(5))
def test_dead(n, attempt): raise ConnectionRefusedError
def test_of_another_type(attempt):
    if attempt == 1: raise TimeoutError
@pytest.mark.transient
def test_of_a_subtest(subtests, attempt):
    with subtests.test(): assert attempt == 2
@pytest.mark.parametrize("n", range(2))
def test_later(n, attempt):
    clock.ahead += 61 * (n == 0)
    raise ConnectionRefusedError
def test_back(attempt):
    clock.ahead += 121
    if attempt == 1: raise ConnectionRefusedError
def test_as_before(attempt):
    if attempt == 1: raise ConnectionRefusedError
"""
CLOCK = """
import time
class clock: ahead = 0.0
real = time.monotonic
time.monotonic = lambda: real() + clock.ahead
"""


def test_what_is_gone_keeps_nothing_else_from_being_tried_again(project: Project) -> None:
    """Failures of another type are tried again all the same; and after a minute, one test is again of that type too."""
    project.write({"conftest.py": CLOCK + CONFTEST})
    outcomes = project.run("--orxaq-retries=1", test=GONE)
    assert [project.times(f"test_dead[{n}]") for n in range(5)] == [2, 2, 2, 1, 1], project.out
    assert outcomes["test_of_another_type"] == outcomes["test_of_a_subtest"] == "flaky"
    assert [project.times(f"test_later[{n}]") for n in range(2)] == [2, 1]
    assert outcomes["test_back"] == outcomes["test_as_before"] == "flaky"


# ------------------------------------------------------------------ what is made afresh, and what lives on


SCOPES = """
import pytest
from conftest import nth
@pytest.fixture(scope="session", autouse=True)
def ses(): nth("session"); yield; nth("session-down")
@pytest.fixture(scope="module", autouse=True)
def mod(): nth("module"); yield; nth("module-down")
@pytest.fixture(scope="class", autouse=True)
def cls(): nth("class"); yield; nth("class-down")
@pytest.fixture(autouse=True)
def fun(): nth("function"); yield; nth("function-down")
def test_flaky(attempt):
    if attempt < 3: raise ConnectionError
class TestIt:
    def test_steady(self): pass
    def test_last_of_class(self, attempt):
        if attempt < 3: raise ConnectionError
"""


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_higher_fixtures_live_on(project: Project, workers: tuple[str, ...]) -> None:
    """Fixtures of class, module and session are set up and torn down as often as without retries, also after the last
    test of their scope was tried again; those of functions once an attempt."""
    project.write({"test_b.py": "def test_b(): pass\n"})
    assert project.run("--orxaq-retries=2", *workers, test=SCOPES) == {
        "test_b": "passed",
        "test_flaky": "flaky",
        "test_steady": "passed",
        "test_last_of_class": "flaky",
    }, project.out
    counted = {name: (project.times(name), project.times(f"{name}-down")) for name in ("session", "module", "class")}
    # Around a function outside of classes, a fixture "of the class" is one of the function.
    assert counted == {"session": (1, 1), "module": (1, 1), "class": (3 + 1, 3 + 1)}
    assert (project.times("function"), project.times("function-down")) == (7, 7)


FRESH = """
import logging, pytest, warnings
seen = []
class TestIt:
    def test_instance(self, attempt, tmp_path, caplog, capsys, monkeypatch, record_property):
        assert not hasattr(self, "mine")
        assert tmp_path not in seen and not list(tmp_path.iterdir())
        seen.append(tmp_path)
        self.mine = attempt
        (tmp_path / "file").touch()
        logging.warning("attempt %s", attempt)
        print("printed", attempt)
        record_property("number", attempt)
        assert len(caplog.records) == 1
        assert capsys.readouterr().out == f"printed {attempt}\\n"
        if attempt < 3: raise ConnectionError
    @pytest.mark.parametrize("n", [1, 2])
    def test_parameters(self, n, attempt):
        print("said", n, attempt)
        if n == 2: raise ConnectionError
"""


def test_an_attempt_starts_from_nothing(project: Project) -> None:
    """A retry has a new object, folder and log; output and properties in the reports are those of the last attempt."""
    outcomes = project.run("--orxaq-retries=2", "-o", "junit_family=xunit1", "-ojunit_logging=all", test=FRESH)
    assert outcomes == {"test_instance": "flaky", "test_parameters[1]": "passed", "test_parameters[2]": "failure"}
    properties = [child for child in project.cases()["test_instance"][1] if child.tag == "properties"]
    assert [(each.get("name"), each.get("value")) for each in properties[0]] == [("number", "3")], project.out
    children = {child.tag: child for child in project.cases()["test_parameters[2]"][1]}
    assert "said 2 3" in (children["system-out"].text or "")
    assert "said 2 2" not in (children["system-out"].text or "")
    assert "tried 3 times, failed each time" in project.out


SETUPS = """
import pytest, unittest
from conftest import nth
@pytest.fixture(scope="session")
def ses(request):
    request.addfinalizer(lambda: nth("session-cleaned"))
    if nth("session") < 2: raise ConnectionError("session")
@pytest.fixture(scope="module")
def mod():
    if nth("module") < 3: raise ConnectionError("module")
    yield
    nth("module-down")
@pytest.fixture
def fun():
    if nth("function") < 2: raise ConnectionError("function")
@pytest.fixture(scope="module")
def deep():
    if nth("asked") < 2: raise ConnectionError("asked")
@pytest.fixture(scope="module")
def asked(request): request.getfixturevalue("deep")
@pytest.fixture(scope="module")
def code(): raise ValueError(nth("code"))
def test_session(ses): pass
def test_session_again(ses): pass
def test_module(mod): pass
def test_function(fun): pass
def test_asked(request): request.getfixturevalue("asked")
def test_code(code): pass
class TestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if nth("setUpClass") < 2: raise TimeoutError
    def test_of_class(self): pass
"""


def test_what_failed_to_be_set_up_is_set_up_again(project: Project) -> None:
    """A fixture of any scope whose setup failed is repeated, and cleans up once for each time; one of the code is not."""
    outcomes = project.run("--orxaq-retries=2", test=SETUPS)
    assert outcomes == {
        "test_session": "flaky",
        "test_session_again": "passed",
        "test_module": "flaky",
        "test_function": "flaky",
        "test_asked": "flaky",
        "test_code": "error",
        "test_of_class": "flaky",
    }, project.out
    counted = {name: project.times(name) for name in ("session", "session-cleaned", "module", "module-down", "code")}
    assert counted == {"session": 2, "session-cleaned": 2, "module": 3, "module-down": 1, "code": 1}
    assert [child.tag for child in project.cases()["test_module"][1]] == ["flakyError", "flakyError"]


TEARDOWNS = """
import pytest
from conftest import nth
@pytest.fixture(scope="module", autouse=True)
def mod():
    yield
    nth("module-down")
    if MODULE_FAILS: raise ValueError("module teardown")
@pytest.fixture
def bad():
    yield
    raise ConnectionError("teardown")
def test_only_teardown(attempt, bad): pass
def test_both(attempt, bad):
    raise ConnectionError("body")
@pytest.mark.parametrize("last", [1])
def test_next(last): pass
"""


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("module", [False, True])
def test_a_teardown_is_never_repeated(project: Project, module: bool, last: bool) -> None:
    """A test whose teardown failed is not tried again: nobody knows what it left. All around it ends as ever."""
    text = TEARDOWNS.replace("MODULE_FAILS", str(module))
    outcomes = project.run("--orxaq-retries=2", test=text.partition("@pytest.mark.parametrize")[0] if last else text)
    assert outcomes.pop("test_only_teardown") == "error", project.out
    assert outcomes.pop("test_both") == "failure+error"
    assert outcomes == ({} if last else {"test_next[1]": "error" if module else "passed"})
    assert project.times("test_both") == 1
    assert project.times("module-down") == 1
    assert "not tried again: its teardown failed" in project.out
    assert "ValueError: module teardown" in project.out or not module
    assert project.code == 1


POISONED = """
import pytest
class Bad(pytest.Module):
    def setup(self): raise ConnectionError("module setup")
def pytest_pycollect_makemodule(module_path, parent):
    return Bad.from_parent(parent, path=module_path)
"""


def test_a_poisoned_module_is_refused(project: Project) -> None:
    """Where the setup of the module itself failed, which pytest does not repeat, the test fails and says why."""
    project.write({"conftest.py": CONFTEST + POISONED})
    assert project.run("--orxaq-retries=2", test="def test_a(): pass\ndef test_b(): pass\n") == {
        "test_a": "error",
        "test_b": "error",
    }
    assert "not tried again: Bad test_it.py could not be set up" in project.out
    assert "rerun" not in project.out.splitlines()[-1]


# ------------------------------------------------------------------ red stays red


LATER = """
import pytest
def test_skips(attempt):
    if attempt == 1: raise ConnectionError("first")
    pytest.skip("no network")
def test_xfails(attempt):
    if attempt == 1: raise ConnectionError("first")
    pytest.xfail("known")
@pytest.fixture
def skipping(attempt):
    if attempt == 1: raise ConnectionError("first")
    pytest.skip("no network")
def test_setup_skips(skipping): pass
def test_breaks(attempt):
    if attempt == 1: raise ConnectionError("first")
    raise ValueError("second")
@pytest.mark.xfail(raises=ValueError)
def test_xpasses(attempt):
    if attempt == 1: raise ConnectionError("first")
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_only_a_pass_takes_a_failure_back(project: Project, workers: tuple[str, ...]) -> None:
    """Skipped, xfailed or broken in another way at the second attempt: the test failed."""
    outcomes = project.run("--orxaq-retries=1", *workers, test=LATER)
    assert outcomes == {
        "test_skips": "failure",
        "test_xfails": "failure",
        "test_setup_skips": "error",
        "test_breaks": "failure",
        "test_xpasses": "flaky",
    }, project.out
    assert "was skipped or xfailed when tried again: that is no pass" in project.out
    for name, kind in (("test_skips", "rerunFailure"), ("test_setup_skips", "rerunError")):
        assert kind in {child.tag for child in project.cases()[name][1]}
    assert project.code == 1


@pytest.mark.parametrize(("ending", "code"), [("pytest.exit('enough')", 2), ("raise KeyboardInterrupt", 2)])
def test_who_wants_to_end_ends(project: Project, ending: str, code: int) -> None:
    """pytest.exit and an interrupt at a second attempt pass through, and the test is told as unfinished."""
    test = f"import pytest\ndef test_it(attempt):\n    if attempt == 1: raise ConnectionError\n    {ending}\n"
    assert project.run("--orxaq-retries=2", test=test) == {"test_it": "failure"}
    assert project.code == code
    assert "UNFINISHED test_it.py::test_it" in project.out
    assert project.times("test_it") == 2


def test_a_run_that_stops_repeats_nothing(project: Project) -> None:
    """A test that failed when the run had been told to stop is not tried again."""
    test = "def test_it(request, attempt):\n    request.session.shouldstop = 'enough'\n    raise ConnectionError\n"
    assert project.run("--orxaq-retries=2", test=test) == {"test_it": "failure"}
    assert "not tried again: the run is about to stop" in project.out


# ------------------------------------------------------------------ subtests


SUBTESTS = """
import pytest, unittest
from conftest import nth
def test_flaky(subtests, attempt):
    for i in range(3):
        with subtests.test(i=i):
            if attempt == 1 and i: raise ConnectionError(i)
def test_exhausted(subtests, attempt):
    with subtests.test():
        raise ConnectionError("always")
def test_code_first(subtests, attempt):
    with subtests.test("code"): assert attempt == 2
    with subtests.test("net"):
        if attempt == 1: raise ConnectionError("net")
def test_code_last(subtests, attempt):
    with subtests.test("net"):
        if attempt == 1: raise ConnectionError("net")
    with subtests.test("code"): assert attempt == 2
def test_body_too(subtests, attempt):
    with subtests.test("net"):
        if attempt == 1: raise ConnectionError("net")
    assert attempt == 2
def test_both_transient(subtests, attempt):
    with subtests.test("net"):
        if attempt == 1: raise ConnectionError("net")
    if attempt == 1: raise TimeoutError
def test_skips_after(subtests, attempt):
    with subtests.test("net"):
        raise ConnectionError("net")
    pytest.skip("no")
def test_asked(request, attempt):
    with request.getfixturevalue("subtests").test():
        if attempt == 1: raise ConnectionError("net")
class TestCase(unittest.TestCase):
    def test_unit(self):
        first = nth("unit") == 1
        for i in range(2):
            with self.subTest(i=i):
                if first: raise ConnectionError("net")
    def test_unit_code(self):
        first = nth("unit-code") == 1
        with self.subTest(): assert not first
        with self.subTest():
            if first: raise ConnectionError("net")
"""
SUBTEST_OUTCOMES = {
    "test_flaky": ("flaky", 2),
    "test_exhausted": ("failure", 2),
    "test_code_first": ("failure", 1),
    "test_code_last": ("failure", 1),
    "test_body_too": ("failure", 1),
    "test_both_transient": ("flaky", 2),
    "test_skips_after": ("failure", 2),
    "test_asked": ("flaky", 2),
    "test_unit": ("flaky", 0),
    "test_unit_code": ("failure", 0),
}


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_subtests(project: Project, workers: tuple[str, ...]) -> None:
    """A subtest's transient failure repeats its test; beside a failure of the code it is a failure like any."""
    outcomes = project.run("--orxaq-retries=1", *workers, test=SUBTESTS)
    assert {name: (outcome, project.times(name)) for name, outcome in outcomes.items()} == SUBTEST_OUTCOMES, project.out
    assert (project.times("unit"), project.times("unit-code")) == (2, 1)
    assert project.code == 1
    children = [child.tag for child in project.cases()["test_flaky"][1]]
    assert children == ["flakyFailure"]
    assert "a subtest failed too" in project.out


REFUSED = {
    "deadline": "",
    "stop": "",
    "teardown": "",
    "exhausted": "",
    "hopeless": "@pytest.mark.parametrize('n', [1, 2, 3])\ndef test_before(n): raise ConnectionError\n",
}
REFUSAL = """
import pytest
{before}
@pytest.fixture
def bad():
    yield
    if {teardown}: raise ValueError("teardown")
@pytest.mark.transient
def test_it(subtests, request, bad, attempt):
    if {stop}: request.session.shouldstop = "enough"
    if {subtest}:
        with subtests.test(): raise ConnectionError("of a subtest")
    else:
        raise ConnectionError("of the body")
"""


@pytest.mark.parametrize("subtest", [False, True])
@pytest.mark.parametrize("why", REFUSED)
def test_whatever_forbids_a_retry_leaves_a_failure(project: Project, why: str, subtest: bool) -> None:
    """A failure that is kept back for a retry which then must not be is a failure: in the exit code and in all reports."""
    test = REFUSAL.format(before=REFUSED[why], teardown=why == "teardown", stop=why == "stop", subtest=subtest)
    late = environment.spell_deadline(time.monotonic() - 1, resources.boot_id()) if why == "deadline" else ""
    outcomes = project.run("--orxaq-retries=1", test=test, ORXAQ_DEADLINE=late)
    assert outcomes["test_it"] == ("failure+error" if why == "teardown" else "failure"), project.out
    assert project.code == (2 if why == "stop" else 1)
    assert project.times("test_it") == (2 if why == "exhausted" else 1)
    assert "ConnectionError: of " in project.out


# ------------------------------------------------------------------ unittest and coroutines


UNITTEST = """
import unittest
from conftest import nth
class TestCase(unittest.TestCase):
    def setUp(self):
        self.assertFalse(hasattr(self, "mine"))
        self.mine = nth("setUp")
        if self.id().endswith("test_set_up") and nth("up") == 1: raise ConnectionError
    def tearDown(self):
        nth("tearDown")
    def test_body(self):
        if nth("body") == 1: raise ConnectionError
    def test_set_up(self): pass
    def test_assertion(self): self.assertEqual(nth("assertion"), 2)
    def test_skipped_later(self):
        if nth("skipped") == 1: raise ConnectionError
        self.skipTest("no")
class TestLast(unittest.TestCase):
    def tearDown(self): raise ConnectionError("down")
    def test_down(self): nth("down"); raise ConnectionError("body")
class TestAsync(unittest.IsolatedAsyncioTestCase):
    async def test_async(self):
        if nth("async") == 1: raise TimeoutError
"""


def test_unittest(project: Project) -> None:
    """Test cases of unittest are repeated with a new object, setUp and tearDown."""
    assert project.run("--orxaq-retries=1", test=UNITTEST) == {
        "test_body": "flaky",
        "test_set_up": "flaky",
        "test_assertion": "failure",
        "test_skipped_later": "failure",
        "test_down": "failure+error",
        "test_async": "flaky",
    }, project.out
    assert (project.times("setUp"), project.times("tearDown"), project.times("down")) == (7, 6, 1)


PLUGIN_OF_COROUTINES = """
import asyncio, inspect
def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        names = pyfuncitem._fixtureinfo.argnames
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True
"""


def test_coroutines(project: Project) -> None:
    """A plugin that runs coroutines runs them again."""
    project.write({"conftest.py": CONFTEST + PLUGIN_OF_COROUTINES})
    test = "async def test_it(attempt):\n    if attempt == 1: raise ConnectionError\n"
    assert project.run("--orxaq-retries=1", test=test) == {"test_it": "flaky"}, project.out


def test_other_items_run_once(project: Project) -> None:
    """A doctest, of which nobody knows how to repeat it, runs as ever."""
    test = 'def it():\n    """\n    >>> raise ConnectionError\n    """\n'
    assert project.run("--orxaq-retries=1", "--doctest-modules", test=test) == {"test_it.it": "failure"}, project.out


# ------------------------------------------------------------------ beside pytest's options


MIXED = """
def test_a(attempt):
    if attempt == 1: raise ConnectionError
def test_b(attempt): assert attempt > 1
def test_c(attempt):
    if attempt == 1: raise ConnectionError
"""


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        (("-x",), ["test_a", "test_b"], ["test_a", "test_b", "test_c"]),
        (("--maxfail=1",), ["test_a", "test_b"], ["test_a", "test_b", "test_c"]),
        (("--maxfail=2",), ["test_a", "test_b", "test_c"], ["test_a", "test_b", "test_c"]),
        (("--lf",), ["test_a", "test_b", "test_c"], ["test_b"]),
        (("--ff",), ["test_a", "test_b", "test_c"], ["test_b", "test_a", "test_c"]),
        (("--sw",), ["test_a", "test_b"], ["test_b", "test_c"]),
    ],
)
def test_options_take_a_flaky_test_for_a_pass(
    project: Project, arguments: tuple[str, ...], first: list[str], second: list[str]
) -> None:
    """-x, --maxfail, --lf, --ff and --sw stop at, and come back to, what failed at last."""
    assert list(project.run("--orxaq-retries=1", *arguments, test=MIXED)) == first, project.out
    assert project.code == 1 if "--sw" not in arguments else 2
    assert list(project.run("--orxaq-retries=1", *arguments)) == second, project.out
    assert project.code == 0


def test_x_and_a_broken_session(project: Project) -> None:
    """-x with a session fixture whose teardown raises ends in an error of the last test, not in a crash of pytest."""
    broken = "@pytest.fixture(scope='session', autouse=True)\ndef ses():\n    yield\n    raise ValueError('down')\n"
    project.write({"conftest.py": CONFTEST + broken})
    outcomes = project.run(
        "-x", "--orxaq-retries=1", test="def test_a():\n    raise ConnectionError\ndef test_b(): pass\n"
    )
    assert outcomes == {"test_a": "failure+error"}
    assert "1 failed, 1 error, 1 rerun" in project.out
    assert project.code == 1


@pytest.mark.parametrize("option", ["--setup-show", "--setup-plan", "--setup-only", "--pdb", "--trace"])
def test_by_hand_nothing_is_repeated(project: Project, option: str) -> None:
    """Where somebody looks at what pytest does, it does it once."""
    project.run("--orxaq-retries=2", option, test=MIXED)
    assert "rerun" not in project.out.splitlines()[-1]
    assert project.times("test_a") <= 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("-p", "no:terminal"),
        ("-p", "no:junitxml"),
        ("-W", "error", "-p", "no:asyncio"),
        ("-q",),
        ("-vv",),
        ("-p", "no:logging", "-s"),
    ],
)
def test_without_other_plugins(project: Project, arguments: tuple[str, ...]) -> None:
    """Nothing of what other parts of pytest do is needed."""
    if "no:junitxml" in arguments:
        project.write({"pytest.ini": "[pytest]\naddopts = -p orxaq\n"})
        arguments = (*arguments, "-p", "plugin_of_ours")
        project.write({"plugin_of_ours.py": "def pytest_addoption(parser): parser.addoption('--junitxml')\n"})
        project.environment["PYTHONPATH"] += os.pathsep + str(project.top)
    project.run("--orxaq-retries=1", *arguments, test=MIXED.replace("test_b", "other"))
    assert project.code == 0, project.out
    assert project.times("test_a") == 2
    assert ("RERUN" in project.out) == ("-vv" in arguments)
    assert ("raise ConnectionError" in project.out) == ("-vv" in arguments)


# ------------------------------------------------------------------ timers around a test


# Stands in for the real one, which `make rerun-matrix` has.
TIMER = """
import signal, pytest
from conftest import nth
def ring(*_): pytest.fail("took too long", pytrace=False)
def off(): signal.setitimer(signal.ITIMER_REAL, 0)
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 2)
    nth("armed")
    yield
    off()
def pytest_exception_interact():
    nth("disarmed")
    off()
"""


def test_a_timer_is_around_each_attempt(project: Project) -> None:
    """What pytest-timeout arms around a test, and disarms at its first exception, is armed for the next attempt too."""
    project.write({"pytest_timeout.py": TIMER})
    project.environment["PYTHONPATH"] = os.pathsep.join((str(project.top), project.environment["PYTHONPATH"]))
    test = """
import select
def test_it(attempt):
    if attempt == 1: raise ConnectionError
    select.select([], [], [], 60)
"""
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    outcomes = project.run("-p", "pytest_timeout", "--orxaq-retries=2", test=test, **alone)
    assert outcomes == {"test_it": "failure"}, project.out
    assert "took too long" in project.out
    assert (project.times("test_it"), project.times("armed"), project.times("disarmed")) == (2, 2, 2)


# As pytest-json-report does.
KEEPER = """
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    nth("around")
    item.kept = []
    yield
    del item.kept
def pytest_runtest_logreport(report): nth(f"{report.when}-{report.outcome}")
"""


def test_other_plugins_meet_a_test_once(project: Project) -> None:
    """What another plugin keeps for the time of a test lasts for all attempts, and is put away once."""
    project.write({"conftest.py": CONFTEST + KEEPER})
    test = (
        "def test_it(attempt, request):\n    request.node.kept.append(1)\n    if attempt < 3: raise ConnectionError\n"
    )
    assert project.run("--orxaq-retries=2", test=test) == {"test_it": "flaky"}, project.out
    assert project.times("around") == 1
    assert (project.times("call-rerun"), project.times("call-passed"), project.times("teardown-passed")) == (2, 1, 1)


# ------------------------------------------------------------------ killed workers


CRASH = """
import os, signal, pytest
def test_a(): pass
def test_b(attempt, request):
    if HOW
def test_c(): pass
def test_d(): pass
"""


@pytest.mark.parametrize(
    ("how", "arguments", "outcome", "times"),
    [
        ("attempt == 1: os.kill(os.getpid(), signal.SIGKILL)", (), "flaky", 2),
        ("attempt == 1: os.kill(os.getpid(), signal.SIGKILL)", ("--dist=worksteal",), "flaky", 2),
        # This one runs what was assigned to the worker anew, whatever has been said of it.
        ("attempt == 1: os.kill(os.getpid(), signal.SIGKILL)", ("--dist=loadscope",), "error+passed", 2),
        ("attempt == 1: request.addfinalizer(lambda: os.kill(os.getpid(), signal.SIGKILL))", (), "flaky", 2),
        ("True: os.kill(os.getpid(), signal.SIGKILL)", (), "error", 2),
        ("True: request.addfinalizer(lambda: os.kill(os.getpid(), signal.SIGKILL))", (), "error", 2),
        ("attempt == 1: os.kill(os.getpid(), signal.SIGSEGV)", (), "error", 1),
        ("attempt == 1: os._exit(0)", (), "error", 1),
        (
            "attempt < 3: raise ConnectionError if attempt == 1 else os.kill(os.getpid(), signal.SIGKILL)",
            (),
            "flaky",
            3,
        ),
        (
            "attempt < 3: raise ConnectionError if attempt == 1 else os.kill(os.getpid(), signal.SIGSEGV)",
            (),
            "error",
            2,
        ),
    ],
)
def test_a_worker_dies(project: Project, how: str, arguments: tuple[str, ...], outcome: str, times: int) -> None:
    """A test whose worker was killed is tried once more by another worker; one whose worker crashed failed."""
    outcomes = project.run("--orxaq-retries=2", "-n1", *arguments, test=CRASH.replace("HOW", how))
    assert outcomes.pop("test_b") == outcome, project.out
    assert set(outcomes.values()) <= {"passed"}
    assert len(outcomes) == 3
    assert project.times("test_b") == times
    assert project.code == (0 if outcome == "flaky" else 1)
    assert ("(SIGKILL)" in project.out) == ("SIGKILL" in how and "loadscope" not in str(arguments))


@pytest.mark.parametrize(
    ("arguments", "until"),
    [
        ((), ""),
        (("--orxaq-retries=0",), ""),
        (("--orxaq-retries=2",), "past"),
        (("--orxaq-retries=2", "--reruns=1"), ""),
    ],
)
def test_a_killed_worker_alone_is_no_reason(project: Project, arguments: tuple[str, ...], until: str) -> None:
    """Without the option, past the deadline and beside another plugin, a test whose worker was killed has failed."""
    if "--reruns=1" in arguments:
        rival(project, "rerunfailures")
    how = "attempt == 1: os.kill(os.getpid(), signal.SIGKILL)"
    late = environment.spell_deadline(time.monotonic() - 1, resources.boot_id())
    outcomes = project.run("-n1", *arguments, test=CRASH.replace("HOW", how), ORXAQ_DEADLINE=late if until else "")
    assert outcomes["test_b"] == "error"
    assert project.code == 1


@pytest.mark.parametrize("first", ["True: ", "attempt == 1: raise ConnectionError\n    "])
@pytest.mark.parametrize(("workers", "restarts"), [(1, 0), (2, 0), (1, 1)])
def test_no_worker_is_left(project: Project, workers: int, restarts: int, first: str) -> None:
    """A test that was to be tried again after its worker was killed has failed, and so has the run, if nobody can do it."""
    options = ("--orxaq-retries=2", f"-n{workers}", f"--max-worker-restart={restarts}")
    how = f"{first}os.kill(os.getpid(), signal.SIGKILL)"
    assert project.run(*options, test=CRASH.replace("HOW", how))["test_b"] == "error", project.out
    assert project.code == 1
    assert ("not tried again: there was no worker left to do it" in project.out) == (not restarts)
    assert "FAILED test_it.py::test_b" in project.out


SILENT = """
import os, select
def test_it(attempt):
    read, write = os.pipe()
    os.closerange(3, min(read, write))
    for _ in range(40):  # what ends a worker politely does not end this one
        try: select.select([read], [], [], 0.2)
        except BaseException: pass
def test_next(): pass
"""


def test_a_worker_that_is_only_silent(project: Project) -> None:
    """A test that cuts off its worker's voice, and lives on, has failed: that is no crash of the run."""
    assert project.run("--orxaq-retries=2", "-n1", test=SILENT) == {"test_it": "error", "test_next": "passed"}, (
        project.out
    )
    assert project.code == 1
    assert project.times("test_it") == 1


@pytest.mark.parametrize("left", [0, 1])
def test_a_killed_worker_costs_a_retry_of_the_run(project: Project, tmp_path: Path, left: int) -> None:
    """A test whose worker was killed is tried again if the run has a retry left at all levels, which then is taken."""
    spent = tmp_path / "spent"
    spent.touch()
    how = "attempt == 1: os.kill(os.getpid(), signal.SIGKILL)"
    handed = environment.hand_retries("", left, str(spent))
    outcomes = project.run("--orxaq-retries=2", "-n1", test=CRASH.replace("HOW", how), ORXAQ_RETRIES=handed)
    assert outcomes["test_b"] == ("flaky" if left else "error"), project.out
    assert project.times("test_b") == 1 + left
    assert spent.stat().st_size == 1
    assert ("(SIGKILL; not tried again: the retries that this run may make" in project.out) == (not left)


# ------------------------------------------------------------------ other plugins that repeat


# Stand-ins with the names, options and markers of the real ones; `make rerun-matrix` has the real ones.
RIVALS = {
    "rerunfailures": ("pytest-rerunfailures", "--reruns", "reruns"),
    "pytest-retry": ("pytest-retry", "--retries", "retries"),
    "flaky": ("flaky", "--force-flaky", "force_flaky"),
}
RIVAL = """
import pytest
class Rival:
    def pytest_runtest_call(self, item): nth("rival")
def pytest_addoption(parser):
    parser.addoption("{option}", dest="{dest}", {more})
    {ini}
def pytest_configure(config):
    config.pluginmanager.register(Rival(), "{plugin}")
    config.addinivalue_line("markers", "flaky: theirs")
"""
BOTH = """
import pytest
def test_typed(attempt):
    if attempt == 1: raise ConnectionError
@pytest.mark.transient
def test_marked(attempt): assert attempt == 2
@pytest.mark.flaky
@pytest.mark.transient
def test_theirs(attempt): assert attempt == 2
def test_decorated(attempt): assert attempt == 2
test_decorated._flaky_max_runs = 2
"""


def rival(project: Project, plugin: str, *, setting: str | None = None) -> str:
    """Give the project a stand-in for another plugin; its option, switched on."""
    _, option, dest = RIVALS[plugin]
    switch = plugin == "flaky"
    ini = "" if setting is None else f"parser.addini({dest!r}, '', default={setting!r})"
    more = "action='store_true'" if switch else "type=int"
    project.write({"conftest.py": CONFTEST + RIVAL.format(plugin=plugin, option=option, dest=dest, more=more, ini=ini)})
    return option if switch else f"{option}=1"


@pytest.mark.parametrize("retries", [(), ("--orxaq-retries=2",)])
@pytest.mark.parametrize("plugin", RIVALS)
def test_standing_down(project: Project, plugin: str, retries: tuple[str, ...]) -> None:
    """Beside another plugin that is switched on nothing is repeated, and one line says so."""
    option = rival(project, plugin)
    outcomes = project.run(option, *retries, test=BOTH)
    assert set(outcomes.values()) == {"failure"}, project.out
    assert project.out.count(f"orxaq: {RIVALS[plugin][0]} is switched on and repeats tests itself") == 1
    assert project.times("test_typed") == 1


@pytest.mark.parametrize("setting", [None, "0", "1"])
def test_standing_down_for_a_setting(project: Project, setting: str | None) -> None:
    """What the other plugin's configuration switches on counts as well; installed alone it does not count."""
    rival(project, "rerunfailures", setting=setting)
    outcomes = project.run("--orxaq-retries=2", test=BOTH)
    ours = "failure" if setting == "1" else "flaky"
    assert outcomes == {
        "test_typed": ours,
        "test_marked": ours,
        "test_theirs": "failure",
        "test_decorated": "failure",
    }, project.out
    assert ("orxaq: 2 tests with the marker 'flaky' are left" in project.out) == (setting != "1")


# A stand-in for pytest-forked, in so far as a test is not run in pytest's own process.
FORKED = """
class Forked:
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        if not item.config.getoption("forked") and item.get_closest_marker("forked") is None: return None
        nth("forked")
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for when in ("setup", "call", "teardown"):
            report = pytest.TestReport(item.nodeid, item.location, {}, "passed", None, when)
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True
def pytest_addoption(parser): parser.addoption("--forked", action="store_true", default=False)
def pytest_configure(config):
    config.addinivalue_line("markers", "forked: in a process of its own")
    config.pluginmanager.register(Forked(), "pytest_forked")
"""
CRASHES = """
import os, pytest, signal
@pytest.mark.forked
@pytest.mark.transient
def test_crash(): os.kill(os.getpid(), signal.SIGKILL)
def test_typed(attempt):
    if attempt == 1: raise ConnectionError
"""


@pytest.mark.parametrize("every", [False, True])
def test_a_process_of_its_own_is_kept(project: Project, *, every: bool) -> None:
    """A test that is to run in a process of its own does, and does not take pytest with it for the sake of a retry."""
    project.write({"conftest.py": CONFTEST + FORKED})
    outcomes = project.run("--orxaq-retries=1", *(["--forked"] if every else []), test=CRASHES)
    assert outcomes == {"test_crash": "passed", "test_typed": "passed" if every else "flaky"}, project.out
    assert project.times("forked") == 1 + every
    assert f"orxaq: {1 + every} tests are left to pytest-forked, and none of them is tried again" in project.out


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--orxaq-retries=two",), "the number of retries must be a whole number from 0, not 'two'"),
        (("--orxaq-retries=-1",), "the number of retries must be a whole number from 0, not '-1'"),
        (("--orxaq-retry-delay=soon",), "the delay must be a number of seconds, not 'soon'"),
        (("--orxaq-retry-delay=inf",), "the delay must be a number of seconds, not 'inf'"),
        (("-oorxaq_retries=1.5",), "1.5"),
        (("-oorxaq_retries=-1",), "orxaq_retries in the configuration: the number of retries must be"),
        (("-oorxaq_retry_delay=soon",), "soon"),
    ],
)
def test_a_bad_setting_is_a_usage_error(project: Project, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be understood is said in a sentence, and nothing runs."""
    project.run(*arguments, test="def test_it(): pass\n")
    assert project.code == pytest.ExitCode.USAGE_ERROR
    assert said in project.out
    assert "Traceback" not in project.out


def test_the_configuration_counts_where_the_command_line_is_silent(project: Project) -> None:
    """Settings of the names of the options; the command line goes before them."""
    project.write({"pytest.ini": "[pytest]\naddopts = -p orxaq\norxaq_retries = 1\norxaq_retry_delay = 0\n"})
    assert project.run(test=FLAKY) == {"test_it": "flaky"}
    assert project.run("--orxaq-retries=0", test=FLAKY.replace("test_it", "test_b")) == {"test_b": "failure"}


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="pytest reads this form of its configuration from 9.0 on")
def test_numbers_of_a_toml_file(project: Project) -> None:
    """The settings are numbers in pyproject.toml."""
    (project.top / "pytest.ini").unlink()
    toml = '[tool.pytest]\naddopts = ["-p", "orxaq"]\norxaq_retries = 1\norxaq_retry_delay = 0.0\n'
    project.write({"pyproject.toml": toml})
    assert project.run(test="def test_it(attempt):\n    if attempt == 1: raise TimeoutError\n") == {"test_it": "flaky"}
    project.write({"pyproject.toml": toml.replace("= 1", '= "one"')})
    project.run()
    assert project.code == pytest.ExitCode.USAGE_ERROR
    assert "orxaq_retries" in project.out
    assert "Traceback" not in project.out


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("(retires=2)", "it takes no argument 'retires'"),
        ("(2)", "it takes arguments by name only"),
        ("(retries='2')", "retries must be a whole number from 0, not '2'"),
        ("(retries=True)", "retries must be a whole number from 0, not True"),
        ("(retries=-1)", "retries must be a whole number from 0, not -1"),
        ("(delay=-1)", "delay must be seconds, not -1"),
        ("(delay=float('nan'))", "delay must be seconds, not nan"),
        ("(on=())", "on must be an exception type or a tuple of these, not ()"),
        ("(on='ConnectionError')", "on must be an exception type or a tuple of these, not 'ConnectionError'"),
        ("(on=KeyboardInterrupt)", "on must be an exception type or a tuple of these"),
    ],
)
def test_a_bad_marker_fails_its_test(project: Project, mark: str, said: str) -> None:
    """A marker that cannot be understood is an error of its test, at once and not when the test fails one day."""
    test = f"import pytest\n@pytest.mark.transient{mark}\ndef test_it(subtests):\n    pass\n"
    assert project.run("--tb=short", test=test) == {"test_it": "error"}
    assert said in project.out
    assert project.code == 1


@pytest.mark.parametrize("run", [True, False])
def test_a_bad_marker_is_no_expected_failure(project: Project, *, run: bool) -> None:
    """That a test is marked as one that fails does not hide what is wrong with its other marker."""
    marks = f"@pytest.mark.transient(retires=2)\n@pytest.mark.xfail(run={run}, reason='known')"
    assert project.run(test=f"import pytest\n{marks}\ndef test_it(): pass\n") == {"test_it": "error"}
    assert "it takes no argument 'retires'" in project.out
    assert project.code == 1


PLACES = """
import pytest
pytestmark = pytest.mark.transient(retries=1)
def test_of_module(attempt): assert attempt == 3
@pytest.mark.transient(retries=2)
class TestIt:
    def test_of_class(self, attempt): assert attempt == 3
    @pytest.mark.transient(retries=0)
    def test_itself(self, attempt): assert attempt == 3
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.transient(retries=2))])
def test_parameter(n, attempt): assert attempt == 3
def transient(): pass
"""


def test_the_closest_marker_counts(project: Project) -> None:
    """Of markers on module, class, function and parameter, the closest one."""
    assert project.run("--orxaq-retries=5", test=PLACES) == {
        "test_of_module": "failure",
        "test_of_class": "flaky",
        "test_itself": "failure",
        "test_parameter[1]": "failure",
        "test_parameter[2]": "flaky",
    }, project.out


@pytest.mark.parametrize("name", ["transient", "flaky"])
def test_a_name_is_no_marker(project: Project, name: str) -> None:
    """A test in a folder that is only called so is an ordinary one."""
    rival(project, "flaky")
    project.write({f"{name}/test_it.py": "def test_it(attempt):\n    if attempt == 1: raise ConnectionError\n"})
    assert project.run() == {"test_it": "failure"}
    (project.top / "count-test_it").unlink()
    assert project.run("--orxaq-retries=1") == {"test_it": "flaky"}


@pytest.mark.parametrize(
    ("given", "outcome"),
    [(-1.0, "failure"), (3600.0, "flaky"), ("1.000@another-boot", "flaky"), ("nonsense", "flaky")],
)
def test_no_retry_after_the_deadline(project: Project, given: float | str, outcome: str) -> None:
    """Past the time that a gate gave, a failure is one at once; a deadline of another boot means nothing."""
    if isinstance(given, float):
        given = environment.spell_deadline(time.monotonic() + given, resources.boot_id())
    assert project.run(test=FLAKY, ORXAQ_DEADLINE=given) == {"test_it": outcome}, project.out
    assert ("not tried again: the time of this run (ORXAQ_DEADLINE) is nearly up" in project.out) == (
        outcome == "failure"
    )


SLOW = """
import pytest
from conftest import clock
@pytest.fixture
def slow(): clock.ahead += 3000
def test_it(slow, attempt):
    if attempt == 1: raise ConnectionError
"""


@pytest.mark.parametrize(("left", "outcome"), [(5000.0, "failure"), (9000.0, "flaky")])
def test_the_next_attempt_takes_its_setup_too(project: Project, left: float, outcome: str) -> None:
    """A test is not tried again if there is time for its body and none for its setup before it."""
    project.write({"conftest.py": CLOCK + CONFTEST})
    given = environment.spell_deadline(time.monotonic() + left, resources.boot_id())
    assert project.run("--orxaq-retries=1", test=SLOW, ORXAQ_DEADLINE=given) == {"test_it": outcome}, project.out


def test_waiting_is_told_and_cannot_be_faked(project: Project) -> None:
    """The wait is within the delay, is said, and is real for tests that replace `time.sleep`."""
    test = """
import time, pytest
@pytest.fixture(scope="module", autouse=True)
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: pytest.exit("slept"))
        yield
@pytest.mark.transient(delay=0.2)
def test_it(attempt): assert attempt == 2
"""
    assert project.run(test=test) == {"test_it": "flaky"}, project.out
    waited = re.search(r"tried again after 0\.[0-2] s", project.out)
    assert waited or "tried again" not in project.out.split("attempt 1 failed")[1]


def test_tests_that_are_collected_twice(project: Project) -> None:
    """A plugin that has the end of the collection announced once more does no harm."""
    twice = """
announced = []
@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    announced.append(session)
    if len(announced) == 1: session.config.hook.pytest_collection_finish(session=session)
"""
    project.write({"conftest.py": CONFTEST + twice})
    assert project.run(test=FLAKY) == {"test_it": "flaky"}, project.out


# ------------------------------------------------------------------ what it costs nobody


def test_it_is_not_loaded_for_nothing(project: Project) -> None:
    """Without the option and a marker, and where retries are forbidden, nothing of it is loaded."""
    check = "import sys\ndef pytest_unconfigure(): print('LOADED', 'pytest_orxaq.rerun' in sys.modules)\n"
    project.write({"conftest.py": CONFTEST + check})
    project.run("-s", test="def test_it(): pass\n")
    assert "LOADED False" in project.out
    project.run("-s", "--orxaq-retries=0", test=FLAKY)
    assert "LOADED False" in project.out
    project.run("-s", test=FLAKY)
    assert "LOADED True" in project.out


def test_a_pytest_inside_a_test_is_apart(project: Project) -> None:
    """A test that runs pytest in its own process, and is tried again, meets no state of it."""
    test = """
import pytest
pytest_plugins = ["pytester"]
def test_it(pytester, attempt):
    pytester.makepyfile(test_inner="import pytest\\n@pytest.mark.transient\\ndef test_in(tmp_path_factory):\\n    1 / 0\\n")
    result = pytester.runpytest_inprocess("-p", "orxaq", "-p", "no:randomly", "--orxaq-retry-delay=0")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1 failed, 2 rerun*"])
    if attempt == 1: raise ConnectionError
"""
    project.write({"pytest.ini": "[pytest]\n"})
    assert project.run("-p", "orxaq", "--orxaq-retries=1", test=test) == {"test_it": "flaky"}, project.out
