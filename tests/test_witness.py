"""The witness in real pytest processes: what it writes, and what it leaves alone."""

import ast
import json
import os
import signal
import subprocess
import sys

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import pytest_orxaq

from pytest_orxaq.core import testimony
from pytest_orxaq.mailbox import Mailbox, create, offer, read_sessions
from pytest_orxaq.model import Session, TestOutcome, TestResult


PACKAGE = Path(pytest_orxaq.__file__).parent
CARRIED = PACKAGE / "carried"
LONGEST = 120  # seconds, after which a run hangs
PASSING = "def test_one(): pass\ndef test_two(): pass\n"


@dataclass(kw_only=True)
class Project:
    """A small project, and the mailbox that its pytest finds."""

    top: Path
    mailbox: Mailbox
    environment: dict[str, str] = field(default_factory=dict)
    python: tuple[str, ...] = (sys.executable,)
    last: subprocess.CompletedProcess[str] | None = None

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def run(self, *arguments: str, **variables: str) -> int:
        """One pytest process; its exit code."""
        return self.command([*self.python, "-m", "pytest", "-p", "no:randomly", *arguments], **variables)

    def command(self, command: list[str], **variables: str) -> int:
        self.last = subprocess.run(
            command,
            cwd=self.top,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
        return self.last.returncode

    @property
    def output(self) -> str:
        assert self.last is not None
        return self.last.stdout + self.last.stderr

    def sessions(self) -> tuple[Session, ...]:
        sessions, notes = read_sessions(self.mailbox)
        assert notes == (), self.output
        return sessions

    def session(self) -> Session:
        """The only session there is."""
        sessions = self.sessions()
        assert len(sessions) == 1, self.output
        assert sessions[0].damage == "", self.output
        return sessions[0]

    def journals(self) -> list[Path]:
        return sorted(self.mailbox.folder.glob("tests-*.jsonl"))

    def junit(self) -> list[Path]:
        return sorted(self.mailbox.folder.glob("junit*"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project whose pytest knows nothing of this package but what is carried to it."""
    top = tmp_path / "project"
    top.mkdir()
    (top / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    mailbox = create(tmp_path / "runs", "attempt", "a-nonce")
    unrelated = ("PYTEST_", "PYTHON", "ORXAQ_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unrelated)}
    return Project(top=top, mailbox=mailbox, environment=offer(mailbox, environment, carried=CARRIED))


def outcomes(session: Session) -> dict[str, str]:
    """The last part of every id, and how that test ended."""
    found = dict.fromkeys(session.passed, "passed") | {result.id: str(result.outcome) for result in session.others}
    return {id.rpartition("::")[2]: outcome for id, outcome in found.items()}


def other(session: Session, name: str) -> TestResult:
    return next(result for result in session.others if result.id.endswith(name))


# ------------------------------------------------------------------ the usual case


def test_a_passing_session_is_proven(project: Project) -> None:
    """Where nothing of ours is installed, a passing run leaves a clean journal that says who ran what where."""
    project.write({"test_a.py": PASSING})
    assert project.run("-q") == 0
    session = project.session()
    assert testimony.clean(session)
    assert session.collected == 2
    assert set(session.passed) == {"test_a.py::test_one", "test_a.py::test_two"}
    assert session.python == sys.executable
    assert session.pytest_version == pytest.__version__
    assert session.root == session.directory == str(project.top)
    assert session.arguments[-1] == "-q"
    assert session.closed_at is not None
    assert session.opened_at < session.closed_at
    assert session.exit_status == 0
    assert project.journals()[0].stat().st_mode & 0o777 == 0o600


def test_every_outcome_is_told(project: Project) -> None:
    """Every way in which a test can end is the one that pytest's summary counts."""
    project.write({"test_a.py": OUTCOMES})
    project.run("-q")
    session = project.session()
    assert outcomes(session) == {
        "test_pass": "passed",
        "test_fail": "failed",
        "test_skip": "skipped",
        "test_xfail": "xfailed",
        "test_xfail_not_run": "xfailed",
        "test_xpass": "xpassed",
        "test_xpass_strict": "failed",
        "test_setup": "error",
        "test_teardown": "error",
        "test_both": "failed",
    }
    assert [failure.phase for failure in other(session, "test_both").failures] == ["call", "teardown"]
    assert [failure.phase for failure in other(session, "test_setup").failures] == ["setup"]
    assert session.counts.failed == 3
    assert session.counts.errors == 2
    assert session.exit_status == 1
    assert not testimony.clean(session)


OUTCOMES = """
import pytest

import pytest_orxaq
@pytest.fixture
def bad_setup(): raise OSError("setup")
@pytest.fixture
def bad_teardown():
    yield
    raise OSError("teardown")
def test_pass(): pass
def test_fail(): assert 1 == 2
def test_skip(): pytest.skip("no")
@pytest.mark.xfail
def test_xfail(): assert False
@pytest.mark.xfail(run=False)
def test_xfail_not_run(): assert False
@pytest.mark.xfail
def test_xpass(): pass
@pytest.mark.xfail(strict=True)
def test_xpass_strict(): pass
def test_setup(bad_setup): pass
def test_teardown(bad_teardown): pass
def test_both(bad_teardown): assert False
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_failure_is_explained(project: Project, workers: tuple[str, ...]) -> None:
    """A failure has its exception, message, traceback, output, parameters and place, with workers or without."""
    project.write({"test_a.py": FAILING})
    assert project.run(*workers) == 1
    result = other(project.session(), "test_it[x]")
    (failure,) = result.failures
    assert failure.exception == "OddError"
    assert failure.message == "it broke"
    assert failure.phase == "call"
    assert "raise OddError" in failure.traceback
    assert {section.title: section.text for section in failure.sections} == {
        "Captured stdout call": "to stdout\n",
        "Captured stderr call": "to stderr\n",
    }
    assert dict(result.parameters) == {"n": "21", "s": "'text'", "rude": "<repr raised RuntimeError>"}
    assert (result.file, result.line) == ("test_a.py", 5)


FAILING = """\
import sys, pytest
class OddError(Exception): pass
class Rude:
    def __repr__(self): raise RuntimeError
@pytest.mark.parametrize("n,s,rude", [(21, "text", Rude())], ids=["x"])
def test_it(n, s, rude):
    print("to stdout"); print("to stderr", file=sys.stderr)
    raise OddError("it broke")
"""


def test_what_is_too_long_keeps_its_ends(project: Project) -> None:
    """Tracebacks, output and parameters of any size leave a bounded line with head and tail."""
    project.write(
        {
            "test_a.py": "import pytest\n@pytest.mark.parametrize('x', ['A' * 10**6], ids=['x'])\n"
            "def test_it(x):\n    print('head' + 'x' * 10**6 + 'tail')\n    raise ValueError('start' + x + 'end')\n"
        }
    )
    project.run("-q")
    (result,) = project.session().others
    (failure,) = result.failures
    assert failure.message.startswith("startA")
    assert failure.message.endswith("Aend")
    assert len(failure.traceback) < 70_000
    (section,) = failure.sections
    assert section.text.startswith("headx")
    assert section.text.endswith("xtail\n")
    assert len(result.parameters[0][1]) < 300
    assert project.journals()[0].stat().st_size < 200_000


def test_strange_ids_come_through(project: Project) -> None:
    """Ids with line ends, any alphabet, half surrogates or a megabyte are one line each."""
    ids = ["a\nb\r\x1b[31m", "Grüße 漢字 🦊", "half\udc80", "x" * 1_000_000, "+", '["finish"]']
    project.write(
        {
            "pytest.ini": "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n",
            "test_a.py": f"import pytest\n@pytest.mark.parametrize('x', range(6), ids={ids!a})\ndef test_it(x): pass\n",
        }
    )
    project.run("-q", "-p", "no:cacheprovider")  # which half a surrogate would crash
    session = project.session()
    assert testimony.clean(session)
    assert session.collected == 6
    for id in session.passed:
        id.encode()  # can be printed


# ------------------------------------------------------------------ a session cut short


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(0)", 0),
        ("import faulthandler; faulthandler.disable(); import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ],
    ids=["SIGKILL", "exit", "SIGSEGV"],
)
def test_the_running_test_is_named(project: Project, body: str, code: int) -> None:
    """A pytest that dies in a test leaves that test's name, and is not closed, whatever its exit code."""
    project.write({"test_a.py": f"import os, signal\ndef test_before(): pass\ndef test_it():\n    {body}\n"})
    assert project.run() == code
    session = project.session()
    assert session.running == ("test_a.py::test_it",)
    assert session.closed_at is None
    assert session.collected == 2
    assert set(session.passed) == {"test_a.py::test_before"}


@pytest.mark.parametrize(
    ("arguments", "code", "missing"),
    [(("-x",), 1, 1), (("--maxfail=1",), 1, 1), ((), 1, 0)],
)
def test_tests_left_out_after_a_failure_are_missing(
    project: Project, arguments: tuple[str, ...], code: int, missing: int
) -> None:
    """What -x did not reach is missing."""
    project.write({"test_a.py": "def test_one(): assert 0\ndef test_two(): pass\n"})
    assert project.run(*arguments) == code
    assert len(project.session().missing) == missing


def test_an_exit_with_code_0_in_mid_run_proves_nothing(project: Project) -> None:
    """pytest.exit(returncode=0) leaves the tests that never ended as missing."""
    project.write(
        {"test_a.py": "import pytest\ndef test_one(): pytest.exit('enough', returncode=0)\ndef test_two(): pass\n"}
    )
    assert project.run() == 0
    session = project.session()
    assert session.exit_status == 0
    assert session.missing == ("test_a.py::test_one", "test_a.py::test_two")
    assert session.running == ("test_a.py::test_one",)
    assert not testimony.clean(session)


def test_a_crashing_hook_after_the_tests_is_an_internal_error(project: Project) -> None:
    """An exception in somebody's pytest_sessionfinish, which pytest lets through, is in the journal."""
    project.write({"test_a.py": PASSING, "conftest.py": "def pytest_sessionfinish(): raise RuntimeError('late')\n"})
    assert project.run() == 1
    session = project.session()
    assert session.internal_errors == ("RuntimeError: late",)
    assert not testimony.clean(session)


def test_an_internal_error_is_told(project: Project) -> None:
    """A plugin that breaks the run of the tests leaves an internal error and missing tests."""
    project.write({"test_a.py": PASSING, "conftest.py": "def pytest_runtest_protocol(): raise RuntimeError('deep')\n"})
    assert project.run() == 3
    session = project.session()
    assert "deep" in session.internal_errors[0]
    assert len(session.missing) == 2


# ------------------------------------------------------------------ collection


def test_collection_errors_are_failures(project: Project) -> None:
    """A module that cannot be imported is an error of its own, in the phase collect."""
    project.write({"test_a.py": PASSING, "test_b.py": "import no_such_module\n"})
    assert project.run() == 2
    session = project.session()
    result = other(session, "test_b.py")
    assert result.outcome is TestOutcome.ERROR
    assert result.failures[0].phase == "collect"
    assert "no_such_module" in result.failures[0].traceback
    assert len(session.missing) == 2


def test_workers_complain_of_a_module_once(project: Project) -> None:
    """What several workers say of one module, each in other words, is one error."""
    project.write({"test_a.py": "import os\nraise RuntimeError(os.getpid())\n"})
    project.run("-n2")
    assert outcomes(project.session()) == {"test_a.py": "error"}


def test_a_skipped_module_counts_as_pytest_counts_it(project: Project) -> None:
    """A module skipped as a whole is one skipped test, as in the closing line, and leaves the session clean."""
    project.write({"test_a.py": PASSING, "test_b.py": "import pytest\npytest.importorskip('no_such_module')\n"})
    assert project.run() == 0
    session = project.session()
    assert "2 passed, 1 skipped" in project.output
    assert (session.counts.passed, session.counts.skipped, session.collected) == (2, 1, 3)
    assert testimony.clean(session)


@pytest.mark.parametrize("argument", ["--co", "--fixtures", "--fixtures-per-test"])
def test_listing_tests_is_no_evidence_and_no_fault(project: Project, argument: str) -> None:
    """A session that only lists tests had none to run: none is missing, and none is proven."""
    project.write({"test_a.py": PASSING})
    assert project.run(argument) == 0
    session = project.session()
    assert session.collected == 0
    assert not session.passed
    assert testimony.clean(session)


@pytest.mark.parametrize("argument", ["--help", "--version", "--markers"])
def test_without_a_session_there_is_no_journal(project: Project, argument: str) -> None:
    """Asking pytest about itself leaves nothing."""
    assert project.run(argument) == 0
    assert list(project.mailbox.folder.iterdir()) == []


def test_deselected_tests_are_not_missing(project: Project) -> None:
    """What was deselected was not to run."""
    project.write({"test_a.py": PASSING})
    assert project.run("--deselect", "test_a.py::test_one") == 0
    session = project.session()
    assert (session.collected, set(session.passed)) == (1, {"test_a.py::test_two"})
    assert testimony.clean(session)


def test_setup_only_executes_nothing(project: Project) -> None:
    """With --setup-plan no test was called, so none passed."""
    project.write({"test_a.py": PASSING})
    assert project.run("--setup-plan") == 0
    assert set(outcomes(project.session()).values()) == {"skipped"}


def test_no_tests_at_all(project: Project) -> None:
    """A session without a test says so."""
    assert project.run() == 5
    session = project.session()
    assert (session.collected, session.exit_status) == (0, 5)


def test_kept_duplicates_are_counted_each(project: Project) -> None:
    """The same test asked for twice on purpose is two tests."""
    project.write({"tests/test_a.py": PASSING})
    assert project.run("--keep-duplicates", "tests", "tests") == 0
    session = project.session()
    assert session.collected == len(session.passed)
    assert testimony.clean(session)


def test_a_second_outcome_is_repeated(project: Project) -> None:
    """A test that was run twice though collected once is named, and its worst outcome stands."""
    project.write(
        {
            "test_a.py": "import pathlib\ndef test_it():\n    p = pathlib.Path('ran')\n    if not p.exists():\n"
            "        p.touch()\n        raise OSError\n",
            "conftest.py": "from _pytest.runner import pytest_runtest_protocol as protocol\n"
            "def pytest_runtest_protocol(item, nextitem):\n    protocol(item, item)\n    return protocol(item, nextitem)\n",
        }
    )
    project.run()
    session = project.session()
    assert session.repeated == ("test_a.py::test_it",)
    assert outcomes(session) == {"test_it": "failed"}
    assert not testimony.clean(session)


# ------------------------------------------------------------------ subtests, unittest, reruns


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_a_failed_subtest_fails_its_test(project: Project, workers: tuple[str, ...]) -> None:
    """Subtests, of pytest and of unittest, fail the one test that they are part of."""
    project.write({"test_a.py": SUBTESTS})
    assert project.run(*workers) == 1
    session = project.session()
    assert outcomes(session) == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_case": "failed",
        "test_fine": "passed",
    }
    assert "inner 1" in " ".join(failure.message for failure in other(session, "test_bad").failures)
    assert "inner 2" in " ".join(failure.message for failure in other(session, "test_case").failures)


SUBTESTS = """
import unittest
def test_good(subtests):
    for i in range(3):
        with subtests.test(i=i): pass
def test_bad(subtests):
    for i in range(3):
        with subtests.test(i=i): assert i != 1, f"inner {i}"
class TestCase(unittest.TestCase):
    def test_case(self):
        for i in range(4):
            with self.subTest(i=i): self.assertNotEqual(i, 2, f"inner {i}")
    def test_fine(self):
        with self.subTest(): pass
"""


def test_only_the_last_of_several_tries_counts(project: Project) -> None:
    """What a rerun plugin reports as "rerun" is no outcome; what comes after it is."""
    project.write({"test_a.py": "def test_it(): pass\ndef test_other(): pass\n", "conftest.py": RERUNNING})
    assert project.run() == 0
    session = project.session()
    assert testimony.clean(session)
    assert session.collected == 2
    assert session.again == (), "what passed and is run again has not failed"


@pytest.mark.parametrize("word", ["rerun", "retried"])
def test_a_failure_that_a_plugin_tries_again_is_kept(project: Project, word: str) -> None:
    """A test that fails and passes when a plugin runs it again is no clean pass: its failure is told in full."""
    flaky = "tries = []\ndef test_it():\n    tries.append(1)\n    assert len(tries) == 2, 'the first try'\n"
    conftest = RERUNNING.replace('"rerun"', repr(word))
    project.write({"test_a.py": flaky + "def test_other(): pass\n", "conftest.py": conftest})
    assert project.run() == 0
    session = project.session()
    standing, recovered = testimony.recovered([session])
    assert standing == ()
    assert [result.id for result in recovered] == ["test_a.py::test_it"]
    assert recovered[0].failures[0].exception == "AssertionError"
    assert "the first try" in recovered[0].failures[0].message
    assert recovered[0].file == "test_a.py"


def test_a_failure_that_fails_again_stands_once(project: Project) -> None:
    """A test that fails at every try of a plugin has failed, and has recovered from nothing."""
    project.write({"test_a.py": "def test_it(): assert False\n", "conftest.py": RERUNNING})
    assert project.run() == 1
    standing, recovered = testimony.recovered([project.session()])
    assert [result.id for result in standing] == ["test_a.py::test_it"]
    assert recovered == ()


def test_a_rerun_that_never_ends_is_missing(project: Project) -> None:
    """A test whose last word is "rerun" has no outcome, though pytest exits with 0."""
    project.write({"test_a.py": PASSING, "conftest.py": RERUNNING.replace("range(2)", "range(1)")})
    assert project.run() == 0
    assert len(project.session().missing) == 2


RERUNNING = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(2):
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if attempt == 0 and report.when == "call":
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
            if report.outcome == "rerun":
                break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""


def test_a_plugin_that_forgets_to_finish_is_understood(project: Project) -> None:
    """Reports without a closing call still amount to an outcome."""
    forgetful = RERUNNING.replace("item.ihook.pytest_runtest_logfinish", "dict")
    project.write({"test_a.py": PASSING, "conftest.py": forgetful})
    assert project.run() == 0
    assert testimony.clean(project.session())


# ------------------------------------------------------------------ xdist


def test_workers_are_one_session(project: Project) -> None:
    """With xdist the controller alone testifies, for all workers."""
    project.write({"test_a.py": PASSING, "test_b.py": "import pytest\npytest.skip('all', allow_module_level=True)\n"})
    assert project.run("-n2") == 0
    session = project.session()
    assert testimony.clean(session)
    assert (session.collected, session.counts.skipped) == (3, 1)
    assert len(project.junit()) == 1


def test_a_killed_worker_fails_its_test(project: Project) -> None:
    """The test in which a worker was killed has failed; the others ran."""
    project.write({"test_a.py": "import os\ndef test_kill(): os.kill(os.getpid(), 9)\n" + PASSING})
    assert project.run("-n2") == 1
    session = project.session()
    assert outcomes(session) == {"test_kill": "failed", "test_one": "passed", "test_two": "passed"}
    assert "crashed" in session.others[0].failures[0].message


def test_an_internal_error_of_a_worker_that_exits_with_0_is_seen(project: Project) -> None:
    """An object on user_properties makes xdist exit with 0, "no tests ran": the tests are missing (xdist#1017)."""
    project.write(
        {"test_a.py": "def test_it(request): request.node.user_properties.append(('x', object()))\n" + PASSING}
    )
    project.run("-n1")
    session = project.session()
    assert "test_a.py::test_it" in session.missing
    assert not testimony.clean(session)


# ------------------------------------------------------------------ several sessions


def test_two_sessions_of_one_recipe_stand_side_by_side(project: Project) -> None:
    """pytest || pytest --lf: what failed first and passed then is recovered."""
    flaky = "import pathlib\ndef test_it():\n    p = pathlib.Path('ran')\n    if not p.exists():\n"
    project.write({"test_a.py": flaky + "        p.touch()\n        raise OSError\ndef test_other(): pass\n"})
    assert project.run("-q") == 1
    assert project.run("-q", "--lf") == 0
    standing, passed_later = testimony.recovered(project.sessions())
    assert standing == ()
    assert [result.id for result in passed_later] == ["test_a.py::test_it"]


def test_two_sessions_of_one_process_stand_side_by_side(project: Project) -> None:
    """A script that calls pytest.main twice leaves two sessions, the second one later."""
    project.write({"test_a.py": PASSING, "run.py": "import pytest\npytest.main(['-q'])\npytest.main(['-q'])\n"})
    assert project.command([sys.executable, "run.py"]) == 0
    first, second = project.sessions()
    assert testimony.clean(first)
    assert testimony.clean(second)
    assert not first.nested
    assert not second.nested
    assert first.closed_at is not None
    assert second.opened_at >= first.closed_at


def test_a_pytest_that_replaces_itself_is_no_nested_one(project: Project) -> None:
    """A session started by exec from a configured pytest is a session of its own right."""
    again = "os.environ['AGAIN'] = '1'; os.execv(sys.executable, [sys.executable, '-m', 'pytest', '-q'])"
    conftest = f"import os, sys\ndef pytest_sessionstart():\n    if 'AGAIN' not in os.environ: {again}\n"
    project.write({"test_a.py": PASSING, "conftest.py": conftest})
    assert project.run() == 0
    sessions = project.sessions()
    assert [session.nested for session in sessions] == [False] * len(sessions)
    assert testimony.clean(sessions[-1])


@pytest.mark.parametrize("workers", [(), ("-n1",)])
@pytest.mark.parametrize("how", ["runpytest_inprocess", "runpytest_subprocess"])
def test_a_pytest_inside_a_test_is_that_tests_business(project: Project, how: str, workers: tuple[str, ...]) -> None:
    """Failing tests of a pytest that a test started are not failures; only its counts are left."""
    project.write({"test_a.py": NESTING.format(how=how)})
    assert project.run("-p", "pytester", *workers) == 0, project.output
    nested = [session for session in project.sessions() if session.nested]
    (top,) = [session for session in project.sessions() if not session.nested]
    assert testimony.clean(top)
    assert top.collected == 2
    assert len(nested) == 1
    assert (nested[0].counts.passed, nested[0].counts.failed, nested[0].exit_status) == (1, 2, 1)
    assert not nested[0].passed
    assert not nested[0].others
    assert testimony.recovered(project.sessions()) == ((), ())
    assert len(project.junit()) == 1


NESTING = """
def test_outer(pytester):
    pytester.makepyfile("def test_a(): assert 0\\ndef test_b(): assert 0\\ndef test_c(): pass")
    pytester.{how}("-p", "no:randomly").assert_outcomes(failed=2, passed=1)
def test_after(): pass
"""


def test_a_gate_inside_a_test_has_a_mailbox_of_its_own(project: Project) -> None:
    """Where a test offers a mailbox of its own, its pytest testifies there and nowhere else."""
    script = (
        "import os, subprocess, sys, pathlib\n"
        f"sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        "from pytest_orxaq.mailbox import create, offer\n"
        "def test_outer(tmp_path):\n"
        "    (tmp_path / 'test_in.py').write_text('def test_in(): assert 0')\n"
        "    inner = create(pathlib.Path(os.environ['INNER']), 'inner', 'inner-nonce')\n"
        f"    environment = offer(inner, os.environ, carried=pathlib.Path({str(CARRIED)!r}))\n"
        "    assert subprocess.call([sys.executable, '-m', 'pytest'], cwd=tmp_path, env=environment) == 1\n"
    )
    project.write({"test_a.py": script})
    inner = project.mailbox.folder.parent
    assert project.run(INNER=str(inner)) == 0, project.output
    assert testimony.clean(project.session())
    ((session,), notes) = read_sessions(Mailbox(inner / "inner", "inner-nonce"))
    assert (notes, session.nested, outcomes(session)) == ((), False, {"test_in": "failed"})


# ------------------------------------------------------------------ JUnit


def test_junit_is_left_in_the_mailbox_in_silence(project: Project) -> None:
    """Without a wish of the user's there is one JUnit file, in the mailbox, that nobody is told of."""
    project.write({"test_a.py": PASSING})
    assert project.run() == 0
    (file,) = project.junit()
    assert 'tests="2"' in file.read_text(encoding="utf-8")
    assert file.stem.removeprefix("junit-") == project.journals()[0].stem.removeprefix("tests-")
    assert "xml" not in project.output


def test_a_users_junit_stays_theirs(project: Project) -> None:
    """A --junitxml of the user's own is written where they said, and copied."""
    project.write({"test_a.py": PASSING})
    assert project.run("--junitxml=out/report.xml") == 0
    (copy,) = project.junit()
    theirs = project.top / "out" / "report.xml"
    assert copy.read_bytes() == theirs.read_bytes()
    assert "report.xml" in project.output


@pytest.mark.parametrize("target", ["/dev/null", "old.xml"])
def test_only_a_junit_file_of_this_session_is_copied(project: Project, target: str) -> None:
    """Neither a device nor a file of an earlier run is taken for this session's report."""
    (project.top / "old.xml").write_text("<old/>", encoding="utf-8")
    project.write(
        {
            "test_a.py": PASSING,
            "conftest.py": "def pytest_sessionstart(session):\n    for p in session.config.pluginmanager.get_plugins():\n"
            "        if type(p).__name__ == 'LogXML': session.config.pluginmanager.unregister(p)\n",
        }
    )
    project.run(f"--junitxml={target}")
    assert project.junit() == []
    assert testimony.clean(project.session())


def test_without_the_junit_plugin_the_journal_is_enough(project: Project) -> None:
    """-p no:junitxml is respected."""
    project.write({"test_a.py": PASSING})
    assert project.run("-p", "no:junitxml") == 0
    assert testimony.clean(project.session())
    assert project.junit() == []


def test_our_junit_changes_no_outcome(project: Project) -> None:
    """record_property under -W error, which pytest's default JUnit family turns into a failure, still passes."""
    project.write({"test_a.py": "def test_it(record_property): record_property('a', 1)\n"})
    assert project.run("-W", "error") == 0, project.output


# ------------------------------------------------------------------ faults


TAKE_DESCRIPTOR = """for fd in os.listdir("/proc/self/fd"):
        if "tests-" in os.path.basename(os.path.realpath("/proc/self/fd/" + fd)):
            os.dup2(os.open("theirs", os.O_CREAT | os.O_RDWR), int(fd))
"""


@pytest.mark.parametrize(
    "fault",
    [
        "shutil.rmtree(os.environ['ORXAQ_ATTEMPT'])",
        TAKE_DESCRIPTOR,
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))",
        TAKE_DESCRIPTOR
        + "    [(os.unlink(p), open(p, 'w').close()) for p in glob.glob(os.environ['ORXAQ_ATTEMPT'] + '/*')]",
        "[os.unlink(p) for p in glob.glob(os.environ['ORXAQ_ATTEMPT'] + '/*')]",
        "[open(p, 'w').close() for p in glob.glob(os.environ['ORXAQ_ATTEMPT'] + '/*')]",
    ],
    ids=["mailbox deleted", "descriptor taken", "disk full", "both gone", "journal deleted", "journal emptied"],
)
def test_no_fault_of_the_mailbox_changes_an_outcome(project: Project, fault: str) -> None:
    """Whatever becomes of the mailbox, pytest ends as it would have; and nothing passes for proven that is not."""
    imports = "import glob, os, resource, shutil, signal\n"
    ignore = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    project.write({"test_a.py": f"{imports}def test_it():\n    {ignore}\n    {fault}\ndef test_two(): pass\n"})
    mended = "import resource\ndef pytest_unconfigure():\n    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
    project.write({"conftest.py": mended})  # what measures coverage writes at the very end
    project.run("-p", "no:cacheprovider", "-s")
    assert "2 passed" in project.output, project.output
    assert "Traceback" not in project.output
    assert project.last is not None
    assert project.last.returncode == 0
    sessions, _ = read_sessions(project.mailbox)
    taken = "dup2" in fault and "unlink" not in fault
    assert [testimony.clean(session) for session in sessions] in ([], [taken])
    if taken:
        assert (project.top / "theirs").read_bytes() == b""


def test_a_missing_mailbox_is_no_fault(project: Project) -> None:
    """A mailbox that is gone before pytest starts changes nothing."""
    project.write({"test_a.py": PASSING})
    project.mailbox.folder.rmdir()
    assert project.run() == 0
    assert not project.mailbox.folder.exists()


def test_a_forked_test_does_not_testify(project: Project) -> None:
    """A child that a test forked, and that runs on to pytest's end, writes nothing."""
    project.write(
        {"test_a.py": "import os\ndef test_it():\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n" + PASSING}
    )
    assert project.run() == 0
    session = project.session()
    assert testimony.clean(session)


def test_the_witness_owns_up_to_its_own_errors(project: Project) -> None:
    """A report that the witness cannot read is trouble in the journal, and nothing in pytest."""
    odd = "import pytest\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport():\n    o = yield\n"
    project.write({"test_a.py": PASSING, "conftest.py": odd + "    o.get_result().duration = 'long'\n"})
    project.run("-p", "no:junitxml", "-p", "no:terminal")
    (session,) = project.sessions()
    assert "trouble" in session.damage
    assert not testimony.clean(session)


# ------------------------------------------------------------------ not reached


@pytest.mark.parametrize(
    ("flags", "arguments", "variables"),
    [
        ((), ("-p", "no:orxaq_witness"), {}),
        ((), (), {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
        ((), (), {"PYTHONPATH": "elsewhere"}),
        (("-I",), (), {}),
        (("-E",), (), {}),
        ((), (), {"ORXAQ_ATTEMPT": ""}),
    ],
    ids=["blocked", "autoload off", "PYTHONPATH set anew", "isolated", "environment ignored", "no gate"],
)
def test_where_the_witness_cannot_be_it_harms_nobody(
    project: Project, flags: tuple[str, ...], arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    """A pytest that the witness does not reach runs as ever, and leaves nothing."""
    project.write({"test_a.py": PASSING})
    project.python = (sys.executable, *flags)
    # Where the package is installed beside pytest, its plugin would send for the witness in another way.
    without = ("-p", "no:orxaq", *arguments)
    assert project.command([*project.python, "-m", "pytest", *without], **variables) == 0, project.output
    assert list(project.mailbox.folder.iterdir()) == []


def test_with_autoload_off_the_witness_is_named(project: Project) -> None:
    """Told that plugins are not loaded by themselves, the offer names the witness."""
    project.write({"test_a.py": PASSING})
    environment = {**project.environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-q"}
    project.environment = offer(project.mailbox, environment, carried=CARRIED, autoload_disabled=True)
    assert project.command([sys.executable, "-m", "pytest"]) == 0, project.output
    assert testimony.clean(project.session())


def test_warnings_as_errors_do_not_mind_the_witness(project: Project) -> None:
    """Nothing that the witness does warns."""
    project.write({"test_a.py": PASSING, "pytest.ini": "[pytest]\nfilterwarnings = error\n"})
    assert project.run("-W", "error", "--strict-markers", "--strict-config") == 0, project.output
    assert testimony.clean(project.session())


def test_the_witness_needs_no_newer_python_than_it_says() -> None:
    """The witness is Python 3.7, its door even Python 2, and both import the standard library and pytest only."""
    room = ast.parse((CARRIED / "orxaq_witness_py3.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    door = ast.parse((CARRIED / "orxaq_witness.py").read_text(encoding="utf-8"), feature_version=(3, 4))
    allowed = {*sys.stdlib_module_names, "pytest", "_pytest", "orxaq_witness_py3"}
    for tree in (room, door):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed
    assert not any(isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr)) for node in ast.walk(door))


def test_a_journal_is_what_its_description_says(project: Project) -> None:
    """Each line is one JSON array that begins with its kind."""
    project.write({"test_a.py": "def test_it(): pass\n"})
    project.run()
    lines = [json.loads(line) for line in project.journals()[0].read_bytes().splitlines()]
    assert [line[0] for line in lines] == ["session", "collected", "+", "-", "finish"]
    assert lines[-1][1]["lines"] == 5
