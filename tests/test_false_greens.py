"""Every known way in which a gate comes out green without having checked anything; none comes out as passed."""

import signal
import subprocess
import sys

from collections.abc import Callable
from typing import Any

import pytest


PASSING = "def test_fine():\n    assert True\n"
FAILING = "def test_broken():\n    assert 1 + 1 == 3\n"
PYTEST = "{python} -m pytest -q -p no:cacheprovider"


def makefile(recipe: str, target: str = "test") -> str:
    """A Makefile with one phony target."""
    return f".PHONY: {target}\n{target}:\n\t{recipe}\n"


RECIPES = {
    # recipe of `test`, file test_it.py, cause
    "nothing but echo": ("echo all good", PASSING, "unproven"),
    "true": ("true", PASSING, "unproven"),
    "failure piped away": (f"{PYTEST} | cat", FAILING, "tests failed"),
    "failure and then success": (f"{PYTEST}; echo done", FAILING, "tests failed"),
    "failure ignored by a dash": (f"-{PYTEST}", FAILING, "tests failed"),
    "failure or true": (f"{PYTEST} || true", FAILING, "tests failed"),
    "only collected": (f"{PYTEST} --collect-only", PASSING, "unproven"),
    "everything deselected": (f"{PYTEST} -k nothing || true", PASSING, "unproven"),
    "no tests at all": (f"{PYTEST} || true", "", "unproven"),
    "everything skipped": (PYTEST, "import pytest\npytestmark = pytest.mark.skip\ndef test_a(): pass\n", "unproven"),
    "left in the middle with 0": (
        PYTEST,
        PASSING + "def test_leave():\n    import pytest\n    pytest.exit('bye', returncode=0)\n",
        "unproven",
    ),
    "process ended in a test with 0": (
        PYTEST,
        PASSING + "def test_leave():\n    import os\n    os._exit(0)\n",
        "killed",
    ),
    "killed, and then success": (
        f"{PYTEST}; echo done",
        "import os, signal\ndef test_die():\n    os.kill(os.getpid(), signal.SIGKILL)\n",
        "killed",
    ),
    "failure not repeated": (f"{PYTEST} || {PYTEST} -k fine", FAILING + PASSING, "tests failed"),
    "a green run after a red one": (f"{PYTEST} test_it.py; {PYTEST} other.py", FAILING, "tests failed"),
    "a line that looks like pytest's": ("echo '===== 3 failed in 0.12s ====='", PASSING, "tests failed"),
    "a worker's internal error": (
        f"{PYTEST} -n1 -p xdist",
        "def test_a(request):\n    request.node.user_properties.append(('x', object()))\n",
        "unproven",
    ),
}


@pytest.mark.parametrize(("recipe", "tests", "cause"), RECIPES.values(), ids=list(RECIPES))
def test_recipe(project: Callable[..., Any], recipe: str, tests: str, cause: str) -> None:
    """A recipe that exits 0 without passing tests is not a pass, and the cause says why."""
    here = project(
        {
            "Makefile": makefile(recipe),
            "test_it.py": tests,
            "other.py": PASSING.replace("fine", "other"),
            "orxaq.toml": 'first-delay = "0.05s"\n',
        }
    )
    ran = here.gate("test")
    assert ran.cause() == cause, ran.err
    assert ran.code != 0
    assert ran.record["verdict"] not in {"passed", "flaky"}


def test_output_that_was_taken_away(project: Callable[..., Any]) -> None:
    """Tests that passed prove nothing once what they printed is gone, and the record says what is missing."""
    here = project({"Makefile": makefile(f"{PYTEST} && rm $$ORXAQ_ATTEMPT.log"), "test_it.py": PASSING})
    ran = here.gate("test")
    assert (ran.code != 0, ran.cause()) == (True, "unproven"), ran.err
    (attempt,) = ran.outcomes["test"]["attempts"]
    assert attempt["evidence"]["contradictions"] == [
        "the output was written and cannot be read again: No such file or directory"
    ]


def test_rerun_of_what_failed_is_flaky(project: Callable[..., Any]) -> None:
    """``pytest || pytest --lf`` is flaky if every failure passed later, and the exit code can be asked to say so."""
    flaky = "import pathlib\ndef test_second():\n    seen = pathlib.Path('seen')\n    again = seen.exists()\n    seen.touch()\n    assert again\n"
    recipe = "{python} -m pytest -q || {python} -m pytest -q --lf"
    here = project(
        {
            "Makefile": makefile(recipe),
            "test_it.py": flaky + PASSING,
            ".gitignore": "seen\n.pytest_cache/\n__pycache__/\n",
        }
    )
    ran = here.gate("test")
    assert (ran.record["verdict"], ran.code) == ("flaky", 0), ran.err
    assert [test["id"] for test in ran.outcomes["test"]["attempts"][-1]["evidence"]["recovered"]] == [
        "test_it.py::test_second"
    ]
    (here.top / "seen").unlink()
    again = here.gate("test", "--fail-on-flaky")
    assert again.code == 1, "what was flaky is not stored as a pass"


def test_a_test_that_a_plugin_ran_again_is_flaky(project: Callable[..., Any]) -> None:
    """A test that failed, and passed when a plugin inside pytest ran it again, makes the checkpoint flaky and is named."""
    conftest = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(2):
        failed = False
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if report.failed and attempt == 0:
                failed, report.outcome = True, "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not failed:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
    flaky = "tries = []\ndef test_second():\n    tries.append(1)\n    assert len(tries) == 2\n"
    here = project(
        {"Makefile": makefile("{python} -m pytest -q"), "test_it.py": flaky + PASSING, "conftest.py": conftest}
    )
    ran = here.gate("test")
    assert (ran.record["verdict"], ran.code) == ("flaky", 0), ran.err
    recovered = ran.outcomes["test"]["attempts"][-1]["evidence"]["recovered"]
    assert [test["id"] for test in recovered] == ["test_it.py::test_second"]
    assert here.gate("test", "--fail-on-flaky").code == 1, "what was flaky is not stored as a pass"


LINTS = {
    # Makefile, other files, cause
    "a folder of that name": ("lint:\n\truff check .\n", {"lint/x": ""}, "unproven"),
    "a folder of that name, silently": (
        ".SILENT:\nMAKEFLAGS += -s\nlint:\n\truff check .\n",
        {"lint/x": ""},
        "unproven",
    ),
    "no recipe": (".PHONY: lint\nlint:\n", {}, "unproven"),
    "a dash": (makefile("-false", "lint"), {}, "unproven"),
    "a pipe": (makefile("false | cat", "lint"), {}, "unproven"),
    "a semicolon": (makefile("false; echo", "lint"), {}, "unproven"),
    "findings, ignored": (
        makefile("-{python} lint.py", "lint"),
        {"lint.py": "print('a.py:1:1: F401 unused'); raise SystemExit(1)\n"},
        "findings",
    ),
    "dry run in the Makefile": ("MAKEFLAGS += n\n.PHONY: lint\nlint:\n\tfalse\n", {}, "unproven"),
}


@pytest.mark.parametrize(("text", "files", "cause"), LINTS.values(), ids=list(LINTS))
def test_lint(project: Callable[..., Any], text: str, files: dict[str, str], cause: str) -> None:
    """A lint that did not run, or whose failure cannot be seen, is not a pass."""
    ran = project({"Makefile": text, **files}).gate("lint")
    assert ran.cause("lint") == cause, ran.err
    assert ran.code != 0


@pytest.mark.parametrize(
    "environment",
    [
        {"MAKEFLAGS": "i"},
        {"MAKEFLAGS": "n"},
        {"MAKEFLAGS": "t"},
        {"GNUMAKEFLAGS": "-i"},
        {"MAKEFILES": "evil.mk"},
        {"PYTEST_ADDOPTS": "--collect-only"},
    ],
)
def test_inherited_environment(project: Callable[..., Any], environment: dict[str, str]) -> None:
    """make's and pytest's own variables do not reach a checkpoint."""
    here = project({"Makefile": makefile(PYTEST), "test_it.py": FAILING, "evil.mk": "override SHELL := /bin/true\n"})
    ran = here.gate("test", environment=environment)
    assert ran.cause() == "tests failed", ran.err


def test_inherited_deafness_to_children(project: Callable[..., Any]) -> None:
    """With SIGCHLD ignored by whoever started the gate, `false` is still a failure."""
    here = project({"Makefile": makefile("false", "lint")})
    done = subprocess.run(
        [sys.executable, "-m", "pytest_orxaq", "gate", "lint"],
        cwd=here.top,
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert done.returncode == 1, done.stderr.decode()


def test_a_failure_in_a_session_that_the_witness_cannot_reach(project: Callable[..., Any]) -> None:
    """A pytest cut off from the witness still counts by its closing line, and against a session that passed."""
    recipe = "{python} -m pytest -q test_other.py\n\tenv -u PYTHONPATH {python} -I -m pytest -q -p no:orxaq test_it.py || true"
    ran = project({"Makefile": makefile(recipe), "test_it.py": FAILING, "test_other.py": PASSING}).gate("test")
    assert ran.code != 0, ran.err


def test_an_open_breaker_is_no_pass(project: Callable[..., Any]) -> None:
    """What is skipped for an open circuit breaker has not passed, alone or beside others, and is never stored as a pass."""
    broken = "test -e ../mended || { echo 'curl: (56) Recv failure: Connection reset by peer'; exit 56; }; {python} -m pytest -q"
    here = project(
        {
            "Makefile": makefile(broken) + makefile("true", "other"),
            "test_it.py": PASSING,
            ".gitignore": "__pycache__/\n.pytest_cache/\n",
            "orxaq.toml": 'checkpoints = ["test", "other"]\n[checkpoint.test]\nretries = 0\n',
        }
    )
    for _ in range(3):
        assert here.gate("test").code == 4
    (here.top.parent / "mended").touch()
    for arguments in (("test",), ("test",), ("--keep-going",)):
        ran = here.gate(*arguments)
        assert (ran.code, ran.record["verdict"]) == (5, "skipped"), ran.err
        assert not ran.outcomes["test"]["stored"]
        assert not (here.top / ".git" / "orxaq" / "passes" / f"{ran.outcomes['test']['key']}.json").exists()
    ran = here.gate("test", "--fresh")
    assert (ran.code, ran.record["verdict"]) == (0, "passed"), ran.err


def test_a_failure_that_is_played_back_is_no_pass(project: Callable[..., Any]) -> None:
    """A failure that is played back is one, also where the tests would pass by now."""
    here = project(
        {
            "Makefile": makefile("{python} -m pytest -q"),
            "test_it.py": "import pathlib\ndef test_a():\n    assert pathlib.Path('../mended').exists()\n",
            ".gitignore": "__pycache__/\n.pytest_cache/\n",
        }
    )
    assert [here.gate("test").code for _ in range(3)] == [1, 1, 1]
    (here.top.parent / "mended").touch()
    ran = here.gate("test")
    assert (ran.code, ran.record["verdict"]) == (1, "failed"), ran.err
    assert ran.outcomes["test"]["replayed"]
    assert not list((here.top / ".git" / "orxaq" / "passes").iterdir())
    assert here.gate("test", "--fresh").code == 0
