"""Commands that fail on purpose: who meets them, how they fail, how they are counted, and that nothing of them stays."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import faults as words
from pytest_orxaq.catalogue.shipped import shipped
from pytest_orxaq.core.signatures import Facts, recognise
from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import Faults, FlakyCommand, Preset, commands, shim
from pytest_orxaq.faults.presets import PRESETS
from pytest_orxaq.system import process


Flaky = Callable[..., FlakyCommand]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such commands")


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A command, its output captured."""
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)


def codes(command: Sequence[str], times: int) -> list[int]:
    """How a command ends, called so many times."""
    return [run(*command).returncode for _ in range(times)]


@pytest.fixture
def echo_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real command, ``tool``: it says its arguments, and exits with 0."""
    folder = tmp_path / "real"
    folder.mkdir()
    path = folder / "tool"
    path.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return path


# ---------------------------------------------------------------- who meets it


MAKEFILE = "all:\n\t-@git --version\n\t@git --version\n"


def test_whoever_calls_it_meets_it(flaky_command: Flaky, tmp_path: Path) -> None:
    """Python, a shell, env, make, another language's child: each is failed in turn, all by one count; then git is real."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    git = flaky_command("git", fail=5, rc=128, stderr="fatal: no\n")
    assert run("git", "status").returncode == 128
    assert run("sh", "-c", "git status; echo $?").stdout == b"128\n"
    assert run("env", "git", "status").stderr == b"fatal: no\n"
    child = "import os, sys; sys.exit(os.waitstatus_to_exitcode(os.system('git status')))"
    assert run(sys.executable, "-I", "-c", child).returncode == 128
    made = run("make", "-s", "-C", str(tmp_path))
    assert (made.returncode, made.stdout.count(b"git version")) == (0, 1)
    assert git.failures == 5
    assert [call.n for call in git.calls] == [1, 2, 3, 4, 5, 6]
    assert [call.failed for call in git.calls] == [True] * 5 + [False]
    assert git.calls[0].argv == ("git", "status")
    assert git.calls[-1].cwd == str(tmp_path)
    assert repr(git) == "FlakyCommand('git', '5*fail(128)')"


def test_the_real_one_is_as_it_would_be(flaky_command: Flaky) -> None:
    """Environment, arguments of any bytes, input, output, signals and exit code pass through unchanged."""
    code = (
        "import os, sys, signal\n"
        "print(open('/proc/self/environ', 'rb').read().replace(b'\\0', b'\\n'), file=sys.stderr)\n"
        "print([os.fsencode(word) for word in sys.argv[1:]], sys.stdin.read())\n"
        "print(open('/proc/self/status').read().partition('SigBlk')[2].partition('Cpus')[0])\n"
        "sys.exit(7)"
    )
    real = sys.executable
    name = Path(real).name
    environment = {"LANG": "C", "odd.name": "\udcff", "PATH": os.environ["PATH"]}
    arguments = ["-ISXutf8", "-c", code, "a b", "", "line\nbreak", "\udcff\udcfe", "*", "-"]
    plain = run(real, *arguments, env=environment, input=b"word")
    flaky = flaky_command(name, required=False, fail=0)
    environment["PATH"] = f"{flaky.path.parent}{os.pathsep}{Path(real).parent}"
    plain = run(real, *arguments, env=environment, input=b"word")
    met = run(name, *arguments, env=environment, input=b"word")
    assert (met.returncode, met.stdout, met.stderr) == (7, plain.stdout, plain.stderr)
    assert flaky.calls[0].argv[4:] == tuple(arguments[3:])


def test_environments_without_a_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not tell what was handed to us, it is what Python has."""
    monkeypatch.setenv("odd", "\udcff")
    monkeypatch.setattr(shim, "open", lambda *_: os.listdir("/no/such/folder"), raising=False)
    assert shim.inherited()[b"odd"] == b"\xff"


def test_order_of_the_path(flaky_command: Flaky, echo_tool: Path, tmp_path: Path) -> None:
    """Folders moved, doubled or taken off the PATH lead to the real command at last, once, and never round in a circle."""
    first = flaky_command("tool", fail=1, rc=11)
    second = flaky_command("tool", fail=1, rc=12)
    one, two, real = (str(path.parent) for path in (first.path, second.path, echo_tool))
    link = tmp_path / "link"
    link.mkdir()
    (link / "tool").symlink_to(second.path)
    orders = [
        (two, one, real),  # as it was made
        (one, two, real),
        (one, two, one, two, real),
        (two, "", "/nowhere", two, real),
        (str(link), two, one, real),
        (two, str(link), real),
    ]
    assert codes(["tool"], 3) == [12, 11, 0]
    for order in orders:
        ran = run("sh", "-c", "tool said", env=os.environ | {"PATH": os.pathsep.join(order) + os.pathsep + os.defpath})
        assert (ran.returncode, ran.stdout) == (0, b"said\n"), order
    assert run(str(second.path), "said", env={"PATH": real}).stdout == b"said\n"
    assert run("tool", env={"PATH": os.pathsep.join((real, two))}).returncode == 0


def test_no_trace_of_those_who_passed_it_on(flaky_command: Flaky, echo_tool: Path) -> None:
    """The real command of several that stand in front of it finds nothing of them in its environment."""
    echo_tool.write_text("env | grep ORXAQ_SHIMS; exit 3\n")  # and no first line: as shells do, it is run by one
    flaky_command("tool", fail=0), flaky_command("tool", fail=0)
    ran = run("tool")
    assert (ran.returncode, ran.stdout) == (3, b"")
    flaky_command("tool", run_real_first=True, rc=4, stdout="late")
    ran = run("tool")
    assert (ran.returncode, ran.stdout) == (4, b"late")


def test_a_real_command_that_goes(flaky_command: Flaky, echo_tool: Path) -> None:
    """One that is gone when it is called, or cannot be run, fails as a shell would have it."""
    flaky_command("tool", fail=0)
    echo_tool.write_bytes(b"#!/no/such/interpreter\n")
    assert run("tool").returncode == 126
    echo_tool.unlink()
    ran = run("tool")
    assert (ran.returncode, ran.stderr.startswith(b"tool: command not found")) == (127, True)


def test_what_the_fixtures_call_is_real(
    flaky_command: Flaky, isolated_git: Callable[..., Any], stale_git_lock: Callable[..., Any]
) -> None:
    """Making repositories and locks is no call of the code under test; what that is given as its environment has trouble in it."""
    repo = isolated_git()
    git = flaky_command("git", fail=1, rc=9)
    repo.commit("more")
    isolated_git("other", clone_of=repo)
    stale_git_lock(repo, "config")
    assert git.calls == []
    assert run("git", "status", env=repo.env).returncode == 9
    repo.env["PATH"] = os.defpath
    assert run("git", "status", env=repo.env, cwd=repo.path).returncode == 0


# ---------------------------------------------------------------- counting


def test_many_at_once(flaky_command: Flaky) -> None:
    """Each of many processes that call at once gets a number of its own; exactly as many fail as are to."""
    made = flaky_command("made-up", fail=17, rc=9, then="ok")
    script = "for n in $(seq 8); do (for m in $(seq 10); do made-up $n.$m || echo $?; done) & done; wait"
    ran = run("sh", "-c", script)
    assert ran.stdout.split() == [b"9"] * 17
    assert [call.n for call in made.calls] == list(range(1, 81))
    assert [call.failed for call in made.calls] == [True] * 17 + [False] * 63
    assert {call.argv[1] for call in made.calls} == {f"{n}.{m}" for n in range(1, 9) for m in range(1, 11)}


@pytest.mark.usefixtures("echo_tool")
def test_only_some_calls_count(flaky_command: Flaky) -> None:
    """Words in their order, or a regular expression, tell which calls count; all others are the real command's."""
    words = flaky_command("tool", match=["push", "origin"], rc=3)
    assert [
        run("tool", *line.split()).returncode for line in ("", "push", "origin push", "push -f origin x", "push origin")
    ] == [0, 0, 0, 3, 0]
    assert [call.argv for call in words.calls] == [("tool", "push", "-f", "origin", "x"), ("tool", "push", "origin")]
    pattern = flaky_command("tool", match=r"^(pull|fetch) -", fail=2, rc=4)
    assert [run("tool", *line.split()).returncode for line in ("x pull -q", "pull -q", "fetch -q", "fetch -q")] == [
        0,
        4,
        4,
        0,
    ]
    assert pattern.failures == 2


def test_a_folder_that_is_gone(flaky_command: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls from a folder that was removed is counted too."""
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    (tmp_path / "away").rmdir()
    assert shim._folder() == b""
    monkeypatch.chdir(tmp_path)
    made = flaky_command("made-up", then="fail")
    run("sh", "-c", 'mkdir gone; cd gone; rmdir "$PWD"; made-up', cwd=tmp_path)
    assert [call.cwd for call in made.calls] == [""]


def test_what_a_dead_call_left_half_written(flaky_command: Flaky) -> None:
    """A line that was cut off is no call."""
    made = flaky_command("made-up", then="fail", required=False)
    assert (made.calls, made.failures) == ([], 0)
    run("made-up")
    log = made.path.parent.parent / "calls"
    log.write_bytes(log.read_bytes() + b"(2, 77.1, 0, 12, b'/tmp', [b'made")
    assert [call.n for call in made.calls] == [1]


def test_where_nothing_can_be_counted(flaky_command: Flaky) -> None:
    """A call that cannot be counted fails, and says why."""
    made = flaky_command("made-up", then="ok", required=False)
    count = made.path.parent.parent / "count"
    count.mkdir()
    ran = run("made-up")
    assert (ran.returncode, b"orxaq: this call of made-up cannot be counted" in ran.stderr) == (125, True)
    count.rmdir()


# ---------------------------------------------------------------- how it fails


@pytest.mark.parametrize("name", PRESETS)
def test_failures_that_are_known(flaky_command: Flaky, name: str) -> None:
    """Each has its program's words and exit code; the rules of the gate read out of them what their truth is."""
    preset: Preset = getattr(words, name)
    flaky_command(preset.program, plan=preset, then="ok")
    ran = run(preset.program)
    assert (ran.returncode, ran.stderr.decode(), ran.stdout) == (preset.rc, preset.stderr, b"")
    assert str(preset) == name == preset.name
    found = recognise(Facts(text=preset.stderr, program=preset.program, exit=preset.rc), shipped())
    actions = {"transient": "retry", "permanent": "no-retry", "live-contention": "repair"}
    assert found.decisive is not None
    assert found.decisive.action == actions[preset.truth]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT, signal.SIGPIPE])
def test_dying_of_a_signal(flaky_command: Flaky, number: int) -> None:
    """The signal itself ends it, whatever the caller had blocked, after it has said its words."""
    flaky_command("made-up", signal=number, stdout="bye\n", then="ok")
    ran = run("made-up", preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {number}))
    assert (ran.returncode, ran.stdout) == (-number, b"bye\n")


def test_it_worked_and_said_it_had_not(flaky_command: Flaky, isolated_git: Callable[..., Any]) -> None:
    """The real command does its work first; what is reported is a failure."""
    repo = isolated_git()
    flaky_command("git", run_real_first=True, rc=1, stderr="fatal: lost\n", match=["commit"])
    ran = run("git", "commit", "--allow-empty", "-qm", "twice", cwd=repo.path)
    assert (ran.returncode, ran.stderr) == (1, b"fatal: lost\n")
    assert run("git", "log", "--format=%s", cwd=repo.path).stdout.splitlines()[0] == b"twice"


def test_it_passes_on_that_it_is_to_end(flaky_command: Flaky, echo_tool: Path) -> None:
    """Who is ended while the real command works ends that."""
    echo_tool.write_text("#!/bin/sh\ntrap 'echo ended; exit' TERM\necho begun\nread -r _\n")
    flaky_command("tool", run_real_first=True, rc=5)
    with subprocess.Popen(["tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"begun\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == b"ended\n"
        assert child.wait(60) == 5


def test_slow_to_fail(flaky_command: Flaky) -> None:
    """A delay is over before the failure is there."""
    flaky_command("made-up", delay=0.2, then="ok")
    began = time.monotonic()
    assert run("made-up").returncode == 1
    assert time.monotonic() - began >= 0.2


def test_nobody_listens(flaky_command: Flaky) -> None:
    """Output that nobody reads, or that is closed, changes nothing of how it ends."""
    flaky_command("made-up", fail=2, stdout="x" * 100_000, rc=6, then="ok")
    assert run("sh", "-c", "(made-up; echo $? >&2) | true").stderr == b"6\n"
    assert run("sh", "-c", "made-up >&- 2>&-").returncode == 6


@pytest.mark.usefixtures("echo_tool")
def test_plans_in_words(flaky_command: Flaky) -> None:
    """Steps follow each other; a last one without a count holds from then on."""
    plan = "1*ok->2*fail(128)->1*signal(TERM)->1*signal->1*GIT_503->fail"
    made = flaky_command("tool", plan=plan, rc=4)
    assert codes(["tool"], 8) == [0, 128, 128, -15, -9, 128, 4, 4]
    assert [call.failed for call in made.calls] == [False] + [True] * 7


@pytest.mark.parametrize(
    ("then", "codes_seen"), [("real", [0, 3, 3, 0, 0]), ("ok", [0, 3, 3, 0, 0]), ("fail", [0, 3, 3, 3, 3])]
)
@pytest.mark.usefixtures("echo_tool")
def test_what_comes_after(flaky_command: Flaky, then: str, codes_seen: list[int]) -> None:
    """After the failures the real command runs, nothing does and all succeed, or all fail."""
    flaky_command("tool", skip=1, fail=2, rc=3, then=then)
    assert codes(["tool", "real"], 5) == codes_seen
    assert run("tool", "real").stdout == (b"real\n" if then == "real" else b"")


# ---------------------------------------------------------------- hanging


def heard(made: FlakyCommand) -> int:
    """A pipe that is read from when a call hangs."""
    return os.open(made.path.parent.parent / "bell", os.O_RDWR)


@pytest.mark.usefixtures("echo_tool")
def test_hanging_ends_with_peace(flaky_command: Flaky, faults: Faults) -> None:
    """A call hangs as long as there is trouble; then it fails, and the next one is the real command."""
    made = flaky_command("tool", hang=True, fail=3, rc=8)
    bell = heard(made)
    with subprocess.Popen(["tool"]) as child:
        assert os.read(bell, 1) == b"!"
        assert child.poll() is None
        faults.heal()
        assert child.wait(60) == 8
    os.close(bell)
    assert codes(["tool"], 2) == [0, 0]
    assert [str(event) for event in faults.log] == ["flaky_command: tool: hang, call 1 [transient]"]


def test_hanging_ends_with_the_test(pytester: pytest.Pytester) -> None:
    """After a test, however it ended, none that hung lives; not even one that was stopped, or hangs where nobody listens."""
    pytester.makepyfile(
        """
        import os, signal, subprocess, pytest
        from pytest_orxaq.faults import commands

        @pytest.mark.parametrize("how", ["passes", "fails", "stopped"])
        def test_hangs(flaky_command, how):
            commands.ENDING = 0.2 if how == "stopped" else 30
            made = flaky_command("made-up", plan="1*fail->hang", then="ok")
            assert subprocess.run(["made-up"]).returncode == 1
            bell = os.open(made.path.parent.parent / "bell", os.O_RDWR)
            child = subprocess.Popen(["made-up"])
            os.read(bell, 1)
            os.close(bell)
            if how == "stopped":
                child.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, child.pid, os.WSTOPPED)
            with open("pids", "a") as file:
                print(how, child.pid, file=file)
            assert how != "fails"
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=2, failed=1)
    for line in (pytester.path / "pids").read_text().splitlines():
        assert not process._lives(int(line.split()[1])), line


def test_hanging_where_nobody_listens(flaky_command: Flaky, faults: Faults) -> None:
    """A call of which nobody could hear hangs too, and ends with the others."""
    made = flaky_command("made-up", hang=True, then="ok")
    (made.path.parent.parent / "bell").unlink()
    with subprocess.Popen(["made-up"]) as child:
        while not made.calls:
            time.sleep(0.002)
        faults.heal()
        assert child.wait(60) == 1


def test_hanging_ends_with_a_killed_test(pytester: pytest.Pytester) -> None:
    """When pytest is killed outright, a call that hangs ends by itself, in whatever session it is."""
    pytester.makepyfile(
        """
        import subprocess, sys

        def test_hangs(flaky_command):
            flaky_command("made-up", hang=True, then="ok")
            subprocess.Popen(["made-up"], start_new_session=True, stdin=subprocess.DEVNULL)
            print("hangs", flush=True)
            sys.stdin.read()
        """
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s"], cwd=pytester.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with run:
        assert run.stdout is not None
        assert any(b"hangs" in line for line in run.stdout)
        run.send_signal(signal.SIGKILL)
        run.stdout.read()  # to its end: the call holds it too


# ---------------------------------------------------------------- the log, and what is armed


def test_the_log_has_what_other_processes_met(flaky_command: Flaky, faults: Faults) -> None:
    """Calls stand in the log where they happened, in order, with their truth; calls that went well do not."""
    flaky_command("made-up", plan="1*ok->2*fail(3)", then="ok")
    flaky_command("other", plan=words.GIT_AUTH, then="fail")
    run("sh", "-c", "made-up; made-up; other")
    faults.note("mine", "environment", "in between")
    run("sh", "-c", "made-up; made-up")
    assert [str(event) for event in faults.log] == [
        "flaky_command: made-up: fail(3), call 2 [transient]",
        "flaky_command: other: GIT_AUTH, call 1 [permanent]",
        "mine: in between [environment]",
        "flaky_command: made-up: fail(3), call 3 [transient]",
    ]


def test_what_nobody_called_fails_the_test(pytester: pytest.Pytester) -> None:
    """A command whose failures nobody met fails a test that passed, wherever it was called, unless that is allowed."""
    pytester.makepyfile(
        """
        import subprocess

        def test_uncalled(flaky_command):
            flaky_command("git", plan="2*GIT_503->ok", match=["push"])
            subprocess.run(["git", "--version"], check=True)

        def test_called(flaky_command):
            flaky_command("git")
            subprocess.run(["sh", "-c", "git --version"])

        def test_allowed(flaky_command):
            flaky_command("git", required=False)
            flaky_command("git", fail=0)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["Never fired: flaky_command: git=2*GIT_503 for calls with [[]'push'[]]. *"])


# ---------------------------------------------------------------- clean-up


def test_the_path_is_as_it_was(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the test the PATH has what the test made of it, but for us; one that was not set is not set."""
    pytester.makepyfile(
        """
        import os

        def test_one(flaky_command, monkeypatch):
            flaky_command("git", required=False)
            os.environ["PATH"] += ":/added"

        def test_two():
            assert os.environ["PATH"].endswith(":/added")
            assert "orxaq/faults" not in os.environ["PATH"]
            del os.environ["PATH"]

        def test_three(flaky_command):
            made = flaky_command("made-up", then="ok", required=False)
            assert os.environ["PATH"] == f"{made.path.parent}:{os.defpath}"

        def test_four():
            assert "PATH" not in os.environ
        """
    )
    monkeypatch.setenv("PATH", os.environ["PATH"])  # put back afterwards: the tests below run in this process
    pytester.runpytest_inprocess("-p", "no:randomly", "-n0").assert_outcomes(passed=4)


def test_a_path_that_somebody_kept(pytester: pytest.Pytester) -> None:
    """Who goes on with the test's PATH after its end meets no trouble."""
    pytester.makepyfile(
        """
        import os, subprocess

        def test_one(flaky_command):
            global kept
            flaky_command("git", fail=100)
            kept = dict(os.environ)
            assert subprocess.run(["git", "--version"]).returncode == 1

        def test_two():
            subprocess.run(["git", "--version"], env=kept, check=True)
        """
    )
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)


# ---------------------------------------------------------------- bad input


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such command": ("gitt", {}, r"no command 'gitt' on the PATH\. Did you mean 'git'\?(?s:.*)then='fail'"),
    "nothing like it": ("qqqqqqqq", {}, r"no command 'qqqqqqqq' on the PATH\.\n"),
    "a path": ("/usr/bin/git", {}, "no name of a command"),
    "no name": ("", {}, "no name of a command"),
    "then": ("git", {"then": "reel"}, r"There is no value of then 'reel'\. Did you mean 'real'\?(?s:.*)real, fail, ok"),
    "then what": ("git", {"then": "x"}, r"There is no value of then 'x'\.\n"),
    "less than none": ("git", {"fail": -1}, "fail=-1 is not possible"),
    "too many": ("git", {"skip": 10**7}, "skip=10000000 is not possible"),
    "exit code": ("git", {"rc": 256}, "256 is no exit code(?s:.*)0 to 255"),
    "exit code in a plan": ("git", {"plan": "fail(-1)"}, "'-1' is no exit code"),
    "signal": ("git", {"signal": 99}, "no signal 99"),
    "signal that is harmless": ("git", {"signal": signal.SIGSTOP}, "SIGSTOP does not end a process"),
    "signal in a plan": ("git", {"plan": "signal(KIL)"}, r"no signal 'KIL'\. Did you mean 'SIGKILL'\?"),
    "both": ("git", {"signal": 9, "hang": True}, "cannot both hang and die"),
    "delay": ("git", {"delay": -1}, "delay=-1 is not possible"),
    "regular expression": ("git", {"match": "("}, r"match='\(' cannot be read"),
    "plan": ("git", {"plan": "2*GIT_504"}, "Did you mean 'GIT_503'"),
    "arguments": ("git", {"plan": "fail(1,2)"}, "says too much: fail takes one argument"),
    "arguments of one that has none": ("git", {"plan": "hang(1)"}, "says too much: hang takes no argument"),
    "arguments of a failure": ("git", {"plan": "GIT_503(1)"}, "says too much"),
    "said twice": ("git", {"plan": "fail", "fail": 2}, "said twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(flaky_command: Flaky, case: str) -> None:
    """What cannot be meant is refused at the call, with what there is."""
    name, options, told = BAD[case]
    before = os.environ["PATH"]
    with pytest.raises(UsageError, match=told):
        flaky_command(name, **options)
    assert os.environ["PATH"] == before


def test_a_path_with_folders_that_are_not_there(flaky_command: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for what may have been meant is not kept from it."""
    monkeypatch.setenv("PATH", f"/no/such/folder{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UsageError, match="Did you mean 'git'"):
        flaky_command("gitt")


# ---------------------------------------------------------------- machines


@pytest.mark.parametrize("place", ["short", "with a blank", "long" * 40])
def test_interpreters_that_the_kernel_cannot_start(
    flaky_command: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A Python whose path has a blank, or is too long for a first line, is started by a shell; arguments stay what they are."""
    folder = tmp_path / place
    folder.mkdir()
    (folder / "it's python").symlink_to(shutil.which(sys.executable) or "")
    monkeypatch.setattr(commands, "INTERPRETER", (str(folder / "it's python"), *commands.INTERPRETER[1:]))
    made = flaky_command("made-up", then="ok", rc=3)
    assert run("made-up", "a b", "", "$HOME", "'").returncode == 3
    assert made.calls[0].argv == ("made-up", "a b", "", "$HOME", "'")


@pytest.mark.parametrize(
    ("where", "told"),
    [("a:b", "No PATH can name"), ("noexec", "mounted with noexec"), ("win32", "need a POSIX system")],
)
def test_places_without_programs(pytester: pytest.Pytester, where: str, told: str) -> None:
    """Where the test's folder can hold no command, that is said."""
    pytester.makepyfile(
        """
        import os

        def test_one(flaky_command, monkeypatch):
            if os.environ["WHERE"] == "noexec":
                monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((0,) * 8 + (os.ST_NOEXEC, 0)))
            if os.environ["WHERE"] == "win32":
                monkeypatch.setattr("sys.platform", "win32")
            flaky_command("git")
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERE", where)
        result = pytester.runpytest_subprocess(f"--basetemp={where if ':' in where else 'tmp'}", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*{told}*"])


def test_words_for_a_shell(flaky_command: Flaky) -> None:
    """The path that is told can be called as it stands."""
    made = flaky_command("made-up", then="ok", rc=3)
    assert run("sh", "-c", shlex.quote(str(made.path))).returncode == 3


def test_an_interpreter_that_cannot_be_started(pytester: pytest.Pytester) -> None:
    """Where Python's own program may not be run, whoever calls the command would meet the real one: the test is skipped."""
    pytester.makepyfile(
        """
        from pytest_orxaq.faults import commands

        def test_one(flaky_command, monkeypatch):
            monkeypatch.setattr(commands, "INTERPRETER", ("/nowhere/python", "-I"))
            flaky_command("ls")
        """
    )
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*No program of Python's can be started: /nowhere/python cannot be."])
