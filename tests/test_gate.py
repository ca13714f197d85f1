"""A repository taken through the gate, end to end."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


PASSING = "def test_fine():\n    assert True\n"
BOTH = ".PHONY: lint test\nlint:\n\t{python} -m compileall -q .\ntest:\n\t{python} -m pytest -q -p no:cacheprovider\n"
IGNORE = "__pycache__/\n.pytest_cache/\n"
GOOD = {"Makefile": BOTH, "test_it.py": PASSING, ".gitignore": IGNORE}


def one(test: str) -> dict[str, str]:
    """A project whose only test has this body."""
    return {
        **GOOD,
        "test_it.py": f"import os, signal, ctypes, time\ndef test_before(): pass\ndef test_it():\n    {test}\n",
    }


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a gate that is killed in the end, should it still run."""
    with contextlib.ExitStack() as stack:

        def begin(top: Path, *arguments: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "pytest_orxaq", "gate", "test", "--format", "json", *arguments]
            gate = subprocess.Popen(command, cwd=top, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(gate)
            stack.callback(gate.kill)
            return gate

        yield begin


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what a gate says, up to the line with these words."""
    assert process.stderr is not None
    assert any(words in line for line in process.stderr)


def test_a_pass(project: Callable[..., Any]) -> None:
    """Lint and test pass, with proof; the report is left, and git does not see it."""
    here = project(GOOD)
    ran = here.gate()
    assert (ran.code, ran.record["verdict"]) == (0, "passed"), ran.err
    assert ran.outcomes["test"]["attempts"][0]["evidence"]["strength"] == 3
    assert ran.outcomes["test"]["attempts"][0]["evidence"]["counts"]["passed"] == 1
    assert {path.name for path in (here.top / ".orxaq").iterdir()} >= {
        "report.html",
        "report.md",
        "report.json",
        "junit.xml",
    }
    assert here.git("status", "--porcelain") == ""


def test_a_stored_pass_answers(project: Callable[..., Any]) -> None:
    """What passed answers at once when nothing has changed, also after it was committed under another message."""
    here = project(GOOD)
    here.gate()
    again = here.gate()
    assert [outcome["stored"] is not None for outcome in again.outcomes.values()] == [True, True]
    here.commit("the same content")
    assert here.gate().outcomes["test"]["stored"]
    assert here.gate("--fresh").outcomes["test"]["attempts"]


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a tracked file": (lambda here: here.write({"test_it.py": PASSING + "\n"}), "the tree differs"),
    "an untracked file": (lambda here: here.write({"new.txt": ""}), "the tree differs"),
    "a mode": (lambda here: (here.top / "test_it.py").chmod(0o755), "the tree differs"),
    "the command": (
        lambda here: here.write({"orxaq.toml": '[checkpoint.test]\ncommand = ["make", "-k", "test"]\n'}),
        "the command was",
    ),
    "the configuration": (
        lambda here: here.write({"orxaq.toml": "[checkpoint.test]\nretries = 1\n"}),
        "setting retries",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stored_pass_is_missed_after(project: Callable[..., Any], change: str) -> None:
    """Any change to what a pass depends on is noticed and named."""
    here = project(GOOD)
    here.gate("test")
    make, words = CHANGES[change]
    make(here)
    outcome = here.gate("test").outcomes["test"]
    assert not outcome["stored"]
    assert any(words in why for why in outcome["key_story"]), outcome["key_story"]
    assert words in here.orxaq("runs", "explain").out


def test_a_stored_pass_is_missed_after_the_interpreter(project: Callable[..., Any], tmp_path: Path) -> None:
    """Another python on PATH, or in the virtual environment, is another pass."""
    folder = tmp_path / "bin"
    folder.mkdir()
    python = folder / "python3"
    python.symlink_to(sys.executable)
    path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    here = project(GOOD)
    here.gate("test", environment=path)
    assert here.gate("test", environment=path).outcomes["test"]["stored"]
    python.unlink()
    shutil.copy(shutil.which("true") or "/bin/true", python)
    assert not here.gate("test", environment=path).outcomes["test"]["stored"]


def test_a_failure_is_not_stored(project: Callable[..., Any]) -> None:
    """What failed runs again, and what comes after it is skipped, unless asked otherwise."""
    here = project({**GOOD, "Makefile": BOTH.replace("-m compileall -q .", "-c 'raise SystemExit(3)'")})
    ran = here.gate()
    assert ran.code == 1
    assert ran.outcomes["test"]["verdict"] == "skipped"
    assert here.gate("--keep-going").outcomes["test"]["verdict"] == "passed"
    assert here.gate().outcomes["lint"]["attempts"]


DEATHS = {
    # body of the test, cause, the exit code
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed", 4),
    "crashed": ("ctypes.string_at(0)", "crashed", 1),
    "aborted": ("os.abort()", "crashed", 1),
    "hung": ("time.sleep(600)", "timed out", 124),
}


@pytest.mark.parametrize("end", ["", "; true"], ids=["make fails", "make exits 0"])
@pytest.mark.parametrize("death", DEATHS)
def test_deaths_are_named(project: Callable[..., Any], death: str, end: str) -> None:
    """A test that kills, crashes or hangs its pytest is named with the right cause, also when make exits 0."""
    body, cause, code = DEATHS[death]
    files = one(body)
    files["Makefile"] = files["Makefile"].replace("no:cacheprovider", f"no:cacheprovider{end}")
    files["orxaq.toml"] = (
        "[checkpoint.test]\nretries = 0\ntimeout = 6\n" if death == "hung" else "[checkpoint.test]\nretries = 0\n"
    )
    ran = project(files).gate("test")
    assert ran.cause() == cause, ran.err
    assert ran.code == code
    assert ran.outcomes["test"]["attempts"][-1]["diagnosis"]["tests"] == ["test_it.py::test_it"]


def test_out_of_memory_is_named(project: Callable[..., Any]) -> None:
    """A test that the kernel kills for memory is named as such, also when make exits 0."""
    group = Path("/sys/fs/cgroup/memory") / f"orxaq-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError as error:
        pytest.skip(f"no memory control group (v1) can be made here: {error}")
    try:
        files = one("hog = [bytearray(50 << 20) for _ in range(40)]")
        files["Makefile"] = files["Makefile"].replace("no:cacheprovider", "no:cacheprovider; true")
        files["orxaq.toml"] = "[checkpoint.test]\nretries = 0\n"
        here = project(files)
        ran = here.run(
            "sh",
            "-c",
            f'echo $$ > {group}/cgroup.procs; exec "$0" -m pytest_orxaq gate test --format json',
            sys.executable,
        )
        assert ran.cause() == "out of memory", ran.err
        assert ran.outcomes["test"]["attempts"][-1]["diagnosis"]["tests"] == ["test_it.py::test_it"]
    finally:
        group.rmdir()


HICCUP = {
    **GOOD,
    "Makefile": ".PHONY: test\ntest:\n\t@if [ -e ../seen ]; then {python} -m pytest -q -p no:cacheprovider; else touch"
    " ../seen; echo \"fatal: unable to access 'https://x/y/': Could not resolve host: x\" >&2; exit 128; fi\n",
    "orxaq.toml": 'first-delay = "0.1s"\n',
}


def test_a_transient_trouble_is_tried_again(project: Callable[..., Any]) -> None:
    """Trouble in words that no test wrote is tried again; the pass is flaky, and says why."""
    here = project(HICCUP)
    ran = here.gate("test")
    assert (ran.record["verdict"], ran.code) == ("flaky", 0), ran.err
    assert "attempt 1: transient" in here.orxaq("runs", "explain").out
    assert not here.gate("test").outcomes["test"]["stored"]


def test_transient_words_of_a_failing_test_excuse_nothing(project: Callable[..., Any]) -> None:
    """A failing test that prints about the network is a failing test."""
    ran = project(one("print(\"fatal: unable to access 'https://x/y/': Could not resolve host: x\"); assert 0")).gate(
        "test"
    )
    assert ran.cause() == "tests failed"
    assert len(ran.outcomes["test"]["attempts"]) == 1


BAD = {
    # files, arguments, exit code, words
    "no Makefile": ({"a": ""}, (), 2, "No rule to make target"),
    "no such target": ({"Makefile": "all:\n\ttrue\n"}, ("test",), 2, "No rule to make target"),
    "no such checkpoint": (GOOD, ("tset",), 2, "there is no checkpoint 'tset'"),
    "unknown key": (
        {**GOOD, "orxaq.toml": "\n[checkpoint.test]\ntimeuot = 3\n"},
        (),
        2,
        'orxaq.toml:3: unknown key "timeuot"',
    ),
    "broken configuration": ({**GOOD, "pyproject.toml": "[tool.orxaq\n"}, (), 2, "pyproject.toml:1: not valid TOML"),
    "no such program": (
        {**GOOD, "orxaq.toml": '[checkpoint.test]\ncommand = ["no-such-program"]\n'},
        ("test",),
        2,
        "could not be started",
    ),
    "a bad duration": (GOOD, ("--timeout", "soon"), 2, "Invalid value for '--timeout'"),
    "the gate within itself": (
        {"Makefile": ".PHONY: test\ntest:\n\t{python} -m pytest_orxaq gate test\n"},
        ("test",),
        1,
        "has called the gate again",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(project: Callable[..., Any], case: str) -> None:
    """Bad input gets clear words and its exit code, never a traceback, never a pass."""
    files, arguments, code, words = BAD[case]
    ran = project(files).orxaq("gate", *arguments)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_places_that_are_no_work_tree(project: Callable[..., Any], tmp_path: Path) -> None:
    """No repository, a bare one, git's own folder: each is told apart."""
    here = project(GOOD)
    here.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    (tmp_path / "plain").mkdir()
    for folder, words in (
        (tmp_path / "bare", "bare repository"),
        (tmp_path / "plain", "not"),
        (here.top / ".git", "git's own folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pytest_orxaq", "gate"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        assert words in done.stderr


def test_a_repository_without_commits_and_a_linked_work_tree(project: Callable[..., Any], tmp_path: Path) -> None:
    """The first commit can be gated, a detached head and a linked work tree too; the linked one shares passes."""
    here = project(GOOD)
    here.git("update-ref", "-d", "HEAD")
    assert here.gate("test").code == 0
    here.commit("first, again")
    here.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest_orxaq", "gate", "test", "--format", "json"],
        cwd=tmp_path / "linked",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_odd_output(project: Callable[..., Any]) -> None:
    """Binary output, no line ends and escape sequences pass through and do no harm."""
    noisy = (
        "head -c 3000000 /dev/urandom\nprintf '\\033[2J\\033]0;title\\007'\nhead -c 20000000 /dev/zero | tr '\\0' x\n"
    )
    files = {**GOOD, "noisy.sh": noisy, "Makefile": BOTH.replace("lint:\n\t", "lint:\n\t@sh noisy.sh\n\t")}
    ran = project(files).orxaq("gate", "lint")
    assert ran.code == 0, ran.err[-2000:]
    assert "\x1b" not in ran.err


def test_a_leak_is_reported_and_gone(project: Callable[..., Any]) -> None:
    """A recipe that leaves a daemon behind passes, says so, and the daemon is gone."""
    mark = f"orxaq-leak-{os.getpid()}"
    leak = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', '{mark}'], start_new_session=True)"
    ran = project({**GOOD, "conftest.py": leak + "\n"}).gate("test")
    assert ran.code == 0, ran.err
    assert mark in ran.outcomes["test"]["attempts"][0]["exit"]["leaked"][0]["command"]
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if mark.encode() in _command_line(pid)]


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_cancelled(project: Callable[..., Any], number: int, code: int) -> None:
    """A signal stops everything, and the report is still written."""
    here = project(one("print('here'); time.sleep(600)"))
    here.write({"Makefile": BOTH.replace("-q -p", "-q -s -p")})
    gate = subprocess.Popen(
        [sys.executable, "-m", "pytest_orxaq", "gate", "test"],
        cwd=here.top,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert gate.stderr is not None
    for line in gate.stderr:
        if b"here" in line:
            break
    gate.send_signal(number)
    rest = gate.stderr.read().decode()
    gate.stderr.close()
    assert gate.wait(30) == code, rest
    assert (here.top / ".orxaq" / "report.html").exists()
    assert "cancelled" in json.loads((here.top / ".orxaq" / "report.json").read_text())["verdict"]


def test_two_gates_share(project: Callable[..., Any]) -> None:
    """A second gate in the same work tree waits and takes over the result; with no patience it is refused."""
    here = project(one("print('here'); input_ = open('../go').read()"))
    here.write({"Makefile": BOTH.replace("-q -p", "-q -s -p"), ".gitignore": IGNORE})
    os.mkfifo(here.top.parent / "go")
    command = [sys.executable, "-m", "pytest_orxaq", "gate", "test", "--format", "json"]
    first = subprocess.Popen(command, cwd=here.top, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert first.stderr is not None
    for line in first.stderr:
        if b"here" in line:
            break
    impatient = here.gate("test", "--lock-timeout", "0")
    assert impatient.code == 75
    assert str(first.pid) in impatient.err
    second = subprocess.Popen(command, cwd=here.top, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert second.stderr is not None
    assert second.stdout is not None
    for line in second.stderr:
        if b"waiting" in line:
            break
    (here.top.parent / "go").write_text("go")
    first.stderr.read()
    first.stderr.close()
    assert first.wait(30) == 0
    record = json.loads(second.stdout.read())
    second.stderr.read()
    second.stderr.close()
    second.stdout.close()
    assert second.wait(30) == 0
    assert record["outcomes"][0]["stored"], "the test would wait for ever if it ran again"


def test_two_gates_share_a_failure(project: Callable[..., Any], start: Start) -> None:
    """What the gate that was waited for found out holds for the same content, failures too; it is said whose it is."""
    here = project(one("print('here'); open('../go').read(); open('../ran', 'a').write('x'); assert 0"))
    here.write({"Makefile": BOTH.replace("-q -p", "-q -s -p")})
    os.mkfifo(here.top.parent / "go")
    first = start(here.top)
    read_until(first, "here")
    second = start(here.top)
    read_until(second, "waiting")
    (here.top.parent / "go").write_text("go")
    records = [json.loads(each.communicate(timeout=60)[0]) for each in (first, second)]
    assert (first.returncode, second.returncode) == (1, 1)
    assert (here.top.parent / "ran").read_text() == "x"
    assert [record["shared_from"] for record in records] == ["", records[0]["id"]]
    assert f"the result was taken over from run {records[0]['id']}" in here.orxaq("runs", "explain").out


@pytest.mark.parametrize("options", [(), ("--fresh",)])
def test_a_waiting_gate_judges_what_it_finds(
    project: Callable[..., Any], start: Start, options: tuple[str, ...]
) -> None:
    """What was waited for is no answer where the content has changed meanwhile, or a fresh look was asked for."""
    here = project(one("print('here'); open('../go').read(); assert 0"))
    here.write({"Makefile": BOTH.replace("-q -p", "-q -s -p")})
    os.mkfifo(here.top.parent / "go")
    first = start(here.top)
    read_until(first, "here")
    second = start(here.top, *options)
    read_until(second, "waiting")
    here.write({"test_it.py": PASSING})
    (here.top.parent / "go").write_text("go")
    first.communicate(timeout=60)
    record = json.loads(second.communicate(timeout=60)[0])
    assert (record["verdict"], record["shared_from"]) == ("passed", "")


def test_what_changed_since_the_last_pass(project: Callable[..., Any]) -> None:
    """A run that failed names the commit that passed last, and what has changed since, committed or not."""
    here = project(GOOD)
    before = here.gate().record["git"]["commit"]
    here.write({"test_it.py": "def test_broken(): assert 0\n"})
    here.commit("break it")
    here.write({".gitignore": IGNORE + "x\n"})
    git = here.gate().record["git"]
    assert (git["last_pass"], git["changed"], git["subject"]) == (before, [".gitignore", "test_it.py"], "break it")


def test_a_pass_is_not_stored_if_the_tree_changed(project: Callable[..., Any]) -> None:
    """What was tested and what lies there now are different things: such a pass is none of either."""
    here = project({**GOOD, "Makefile": BOTH.replace("test:\n", "test:\n\t@echo >> notes.txt\n")})
    for _ in range(2):
        outcome = here.gate("test").outcomes["test"]
        assert (outcome["verdict"], outcome["stored"]) == ("passed", None)
        assert outcome["key_story"][-1] == "not stored: the work tree changed while it ran"


def test_a_pass_is_not_stored_if_the_tree_cannot_be_named(project: Callable[..., Any]) -> None:
    """Where git is told to look away, nothing is stored, and why is said."""
    here = project(GOOD)
    here.git("update-index", "--assume-unchanged", "test_it.py")
    outcome = here.gate("test").outcomes["test"]
    assert (outcome["verdict"], outcome["key"]) == ("passed", "")
    assert outcome["key_story"] == [
        "no pass can be stored or found: test_it.py is marked assume-unchanged: git does not look at it"
    ]
    assert "stored pass: miss: no pass can be stored" in here.orxaq("runs", "explain").out


def test_no_time_left(project: Callable[..., Any]) -> None:
    """A checkpoint whose turn comes after the deadline is not begun, and did not pass."""
    here = project({"Makefile": ".PHONY: lint test\nlint:\n\t@sleep 600\ntest:\n\t@touch began\n"})
    ran = here.gate("--timeout", "1s", "--keep-going")
    assert ran.code == 124, ran.err
    assert [outcome["verdict"] for outcome in ran.outcomes.values()] == ["timed-out", "timed-out"]
    assert ran.outcomes["test"]["attempts"][0]["output_tail"] == ""
    assert not (here.top / "began").exists()


def test_cancelled_while_it_waits_to_try_again(project: Callable[..., Any], start: Start) -> None:
    """A signal ends the wait between two attempts at once."""
    here = project({**HICCUP, "orxaq.toml": 'first-delay = "20m"\nlongest-delay = "20m"\n'})
    gate = start(here.top)
    read_until(gate, "again in")
    gate.send_signal(signal.SIGTERM)
    out, _ = gate.communicate(timeout=60)
    (outcome,) = json.loads(out)["outcomes"]
    assert (gate.returncode, outcome["verdict"]) == (143, "cancelled")
    assert [attempt["diagnosis"]["cause"] for attempt in outcome["attempts"]] == ["transient", "cancelled"]
    assert outcome["attempts"][1]["waited"] < 600


def test_github_gets_groups_and_no_commands(project: Callable[..., Any]) -> None:
    """On GitHub each checkpoint is a group in which no output is obeyed."""
    here = project({**GOOD, "Makefile": BOTH.replace("lint:\n", "lint:\n\t@echo '::error::hacked'\n")})
    err = here.orxaq("gate", "lint", environment={"GITHUB_ACTIONS": "true"}).err
    stop, obey = err.index("::stop-commands::"), err.index("::endgroup::")
    assert stop < err.index("error::hacked") < obey
    assert "::group::lint" in err


def test_github_closes_the_group_of_a_retried_attempt(project: Callable[..., Any]) -> None:
    """Each attempt is a group of its own, closed before the next one opens; in none is output obeyed."""
    err = project(HICCUP).orxaq("gate", "test", environment={"GITHUB_ACTIONS": "true"}).err
    marks = re.findall(r"^::(?:group::.*|endgroup::|stop-commands::\w+|\w{32}::)$", err, re.MULTILINE)
    kinds = [re.sub(r"[0-9a-f]{32}", "TOKEN", mark) for mark in marks]
    rest = ["::stop-commands::TOKEN", "::TOKEN::", "::endgroup::"]
    assert kinds == ["::group::test", *rest, "::group::test (attempt 2)", *rest]


def test_json_lines(project: Callable[..., Any]) -> None:
    """With --format jsonl each event is a line, the whole run the last."""
    lines = [json.loads(line) for line in project(GOOD).orxaq("gate", "--format", "jsonl").out.splitlines()]
    assert [line["event"] for line in lines] == ["begun", "ended", "begun", "ended", "run"]


def test_run_passes_the_code_through(project: Callable[..., Any]) -> None:
    """`orxaq run` ends as the command did; not started, timed out and killed have codes of their own."""
    here = project(GOOD)
    assert here.orxaq("run", "--", "sh", "-c", "exit 7").code == 7
    assert (ran := here.orxaq("run", "true")).code == 0
    assert "Passed" in ran.err
    assert here.orxaq("run", "--", "no-such-program").code == 2
    assert here.orxaq("run", "--timeout", "0.5s", "--retries", "0", "--", "sleep", "60").code == 124
    assert here.orxaq("run", "--retries", "0", "--", "sh", "-c", "kill -9 $$").code == 4


def test_commands_without_make(project: Callable[..., Any]) -> None:
    """A checkpoint need not be a make target: a linter or pytest that starts no process itself is proof all the same."""
    commands = {"lint": [sys.executable, "-c", "print('All checks passed!')"], "test": [sys.executable, "-m", "pytest"]}
    lines = "".join(f"[checkpoint.{name}]\ncommand = {json.dumps(command)}\n" for name, command in commands.items())
    ran = project({**GOOD, "orxaq.toml": lines}).gate()
    assert (ran.code, ran.record["verdict"]) == (0, "passed"), ran.err


def test_checkpoints_as_test_items(project: Callable[..., Any]) -> None:
    """`pytest --orxaq-gate` collects the checkpoints, and -k and failures work."""
    here = project({**GOOD, "Makefile": BOTH.replace("-m compileall -q .", "-c 'raise SystemExit(3)'")})
    ran = here.run(
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "orxaq",
        "--orxaq-gate",
        "-p",
        "no:cacheprovider",
        "-v",
    )
    assert ran.code == 1, ran.out + ran.err
    assert "1 failed, 1 passed" in ran.out
    assert "the command exited 2" in ran.out
    only = here.run(
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "orxaq",
        "--orxaq-gate",
        "-p",
        "no:cacheprovider",
        "-k",
        "test",
    )
    assert "1 passed, 1 deselected" in only.out


def test_secrets_stay_out_of_the_report(project: Callable[..., Any]) -> None:
    """A secret that a test prints is in no record and no report."""
    here = project(one("print(os.environ['MY_TOKEN']); assert os.environ['MY_TOKEN'] == 'x'"))
    ran = here.gate("test", environment={"MY_TOKEN": "correct-horse-battery"})
    assert "correct-horse" not in ran.out
    for path in (here.top / ".orxaq").iterdir():
        assert "correct-horse" not in path.read_text(errors="replace")


def test_own_templates(project: Callable[..., Any]) -> None:
    """A user's template replaces ours; a broken one does not cost the report."""
    here = project(
        {
            **GOOD,
            "orxaq.toml": 'templates = "ci"\n',
            "ci/report.md": "mine: {{ report.headline }}\n",
            "ci/report.html": "{% broken",
        }
    )
    ran = here.gate("lint")
    assert ran.code == 0
    assert (here.top / ".orxaq" / "report.md").read_text().startswith("mine: ")
    assert "<html" in (here.top / ".orxaq" / "report.html").read_text()
    assert any("report.html" in note for note in ran.record["notes"])


def test_runs_tell_the_past(project: Callable[..., Any]) -> None:
    """Runs are listed, shown and explained; an id that fits none or several is refused with words."""
    here = project(GOOD)
    assert here.orxaq("runs", "show").code == 2
    record = here.gate("test").record
    here.gate("test")
    assert record["id"] in here.orxaq("runs").out
    assert json.loads(here.orxaq("runs", "show", record["id"], "--format", "json").out)["id"] == record["id"]
    assert "stored pass: hit" in here.orxaq("runs", "explain").out
    assert "no run here begins with" in here.orxaq("runs", "show", "nonsense").err
    assert "runs begin with" in here.orxaq("runs", "show", "2").err
    assert "takes no id" in here.orxaq("runs", "list", "x").err


def test_a_run_that_was_cut_off_did_not_pass(project: Callable[..., Any]) -> None:
    """A gate that is killed leaves a record that reads as not passed, and nothing alive."""
    here = project(one("print('here'); time.sleep(600)"))
    here.write({"Makefile": BOTH.replace("-q -p", "-q -s -p")})
    gate = subprocess.Popen(
        [sys.executable, "-m", "pytest_orxaq", "gate", "test"],
        cwd=here.top,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert gate.stderr is not None
    for line in gate.stderr:
        if b"here" in line:
            break
    gate.kill()
    gate.wait()
    gate.stderr.close()
    assert "cut off" in here.orxaq("runs").out
    assert "counts as not passed" in here.orxaq("runs", "explain").out


def test_typos_are_understood(project: Callable[..., Any]) -> None:
    """A misspelt command is answered with the likely one."""
    ran = project().orxaq("gaet")
    assert ran.code == 2
    assert "Did you mean 'gate'?" in ran.err


def test_demo(tmp_path: Path, project: Callable[..., Any]) -> None:
    """The demonstration finds every trouble that it made, and refuses a folder that is not empty."""
    here = project()
    ran = here.orxaq("demo", "--directory", str(tmp_path / "demo"))
    assert ran.code == 0, ran.err
    assert Path(ran.out.strip()).exists()
    assert here.orxaq("demo", "--directory", str(here.top)).code == 2
