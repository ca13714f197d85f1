"""Tests that are tried again: which are, what is made afresh for them, and how it is told. Real pytests throughout."""

import os
import subprocess
import sys

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pytest_orxaq import mailbox
from pytest_orxaq.core import evidence, testimony
from pytest_orxaq.model import Strength


ROOT = Path(__file__).parent.parent
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
        for case in ET.parse(file).iter("testcase") if file.exists() else ():
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
import errno, os, socket, pytest
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
}


@pytest.mark.parametrize("workers", [(), ("-n2",)])
@pytest.mark.parametrize("retries", [None, 0, 2])
def test_what_is_tried_again(project: Project, retries: int | None, workers: tuple[str, ...]) -> None:
    """Without the option only what is marked, with it also what is typed transient, with 0 nothing; never the rest."""
    option = () if retries is None else (f"--orxaq-retries={retries}",)
    outcomes = project.run(*option, *workers, test=OUTCOMES)
    seen = {name: (outcome, project.times(name)) for name, outcome in outcomes.items()}
    not_tried = {name: ("failure", 1) for name in TYPED}
    if retries == 0:
        not_tried |= {
            name: ("failure" if seen == "flaky" else seen, min(times, 1)) for name, (seen, times) in MARKED.items()
        }
    assert seen == not_tried | ({} if retries == 0 else MARKED) | (TYPED if retries else {}), project.out
    assert project.code == 1


def test_a_flaky_test_is_told_everywhere(project: Project, tmp_path: Path) -> None:
    """The terminal, the JUnit file and the gate's evidence say that it passed at the second attempt, and why not before."""
    box = mailbox.create(tmp_path / "runs", "attempt", "a-nonce")
    environment = mailbox.offer(box, project.environment, carried=ROOT / "pytest_orxaq" / "carried")
    project.environment = environment
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
